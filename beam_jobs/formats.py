"""Container formats by libav's names: which may be opened, and which can be sought in."""

# Formats whose timestamps after a seek are those of the file; in others they are guesses.
MATROSKA, MPEGTS = 'matroska,webm', 'mpegts'
SEEKABLE = ('mov,mp4,m4a,3gp,3g2,mj2', MATROSKA, MPEGTS)
# No playlists or scripts, which could make libav open other files than the one named.
FORMATS = (
    'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv,live_flv,kux,asf,mpeg,mpegvideo,ogg,'
    'mxf,nut,rm,dv,gxf,wtv,ivf,obu,av1,h264,hevc,h261,h263,m4v,vc1,mjpeg,yuv4mpegpipe,swf,nsv,'
    'wav,w64,aiff,au,caf,mp3,aac,ac3,eac3,dts,truehd,flac,amr,tta,wv,ape,'
    'gif,apng,image2,image2pipe,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe'
)
