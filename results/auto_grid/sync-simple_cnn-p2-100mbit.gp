set terminal pngcairo size 1200,440 font 'DejaVu Sans,13' background 'white' noenhanced
set output 'sync-simple_cnn-p2-100mbit.png'
set title "Synchronising the gradients of simple_cnn: 2 workers, 100mbit links\n2 cores of AMD EPYC, Linux 6.18.44-fc-v669; median of 5 rounds; 1% in int4, memory residual"
set xlabel 'time of a step (ms)'
set xrange [0:175.163]
set yrange [0.3:5.7]
set format x '%g'
set grid xtics lc rgb '#bbbbbb'
set ytics nomirror scale 0
set bmargin 6
set key at screen 0.97, screen 0.035 right bottom horizontal
set style fill solid 1.0
plot 'sync-simple_cnn-p2-100mbit.dat' using ($5 == 1 ? $2 : NaN):1:(0):2:($1-0.32):($1+0.32):ytic(8) \
       with boxxyerror lc rgb '#0072B2' title 'cddp', \
     '' using ($5 == 0 ? $2 : NaN):1:(0):2:($1-0.32):($1+0.32) \
       with boxxyerror lc rgb '#E69F00' title 'PyTorch over Gloo', \
     '' using 2:1:3:4 with xerrorbars pt 0 lc rgb 'black' lw 1.5 title 'lowest to highest round', \
     '' using 6:1:7 with labels left offset 1,0 notitle
