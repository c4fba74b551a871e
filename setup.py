"""The package: `pip install .` on Python 3.10 gives the `avmae` command."""

import re
from pathlib import Path

import setuptools

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (ROOT / 'avmae_tf/__init__.py').read_text())[1]

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
    install_requires=[
        'apache-beam==2.60.0',
        'av>=14,<18',
        'click>=8.1',
        'dill==0.3.1.1',
        'google-api-core<2.20',
        'google-auth<2.40',
        'google-cloud-aiplatform<1.75',
        'matplotlib>=3.8',
        'ml-metadata==1.16.0',
        'numpy<2',
        'opencv-python-headless>=4.8,<4.12',
        'pandas<2',
        'protobuf==3.20.3',
        'pydantic>=2.7',
        'PyYAML>=6',
        'rich>=13',
        'scikit-learn>=1.3,<1.6',
        'setuptools<81',
        'tensorboard==2.16.2',
        'tensorflow==2.16.2',
        'tensorflow-io==0.37.1',
        'tensorflow-model-analysis==0.47.1',
        'tensorflow-serving-api==2.16.1',
        'tensorflow-text==2.16.1',
        'tf-keras==2.16.0',
        'tf-models-official==2.16.0',
        'tfx==1.16.0',
    ],
    extras_require={
        'tpu': ['tensorflow-tpu==2.16.2'],
        'gcp': ['apache-beam[gcp]==2.60.0', 'google-cloud-storage'],
        'kubeflow': ['kfp==2.5.0'],
        'dev': ['pytest>=8', 'pytest-xdist', 'ruff>=0.6', 'wheel', 'uv'],
    },
    entry_points={'console_scripts': ['avmae=avmae_tf.cli:main']},
)
