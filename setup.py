"""The package: `pip install .` on Python 3.10 gives the `avmae` command."""

import re
from pathlib import Path

import setuptools

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (ROOT / 'avmae_tf/__init__.py').read_text())[1]
# Exact versions, all of them: a resolver would search for the better part of an hour.
LOCK = (ROOT / 'requirements.lock').read_text().split()
DEVELOPERS = (
    *('ast-serialize', 'blinker', 'boto3', 'botocore', 'execnet', 'flask', 'flask-cors'),
    *('gcp-storage-emulator', 'iniconfig', 'itsdangerous', 'jmespath', 'librt', 'markdown2'),
    *('moto', 'mypy', 'mypy-extensions', 'pathspec', 'pdoc', 'pip', 'pytest', 'pytest-xdist'),
    *('responses', 'ruff', 's3transfer', 'uv', 'xmltodict'),
)
OVERRIDDEN = ('tensorflow-hub',)  # the lock has a newer one than TFX admits
LEFT_OUT = (*DEVELOPERS, *OVERRIDDEN)

setuptools.setup(
    name='avmae-tf',
    version=VERSION,
    description='Audiovisual Masked Autoencoders on TensorFlow and TFX',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.11',
    packages=setuptools.find_packages(
        include=[
            f'{top}{rest}'
            for top in ('avmae_tf', 'beam_jobs', 'components', 'pipeline')
            for rest in ('', '.*')
        ]
    ),
    install_requires=[line for line in LOCK if line.split('==')[0] not in LEFT_OUT],
    extras_require={
        'gpu': (ROOT / 'requirements-gpu.lock').read_text().split(),
        'dev': [
            *('flask', 'flask-cors', 'gcp-storage-emulator', 'moto>=5.1', 'mypy>=2', 'pdoc>=16'),
            *('pytest>=8', 'pytest-xdist', 'ruff>=0.6', 'uv', 'wheel'),
        ],
    },
    entry_points={'console_scripts': ['avmae=avmae_tf.cli:main']},
)
