set terminal pngcairo size 1100,440 font 'DejaVu Sans,13' background 'white' noenhanced
set output 'sync-resnet50-p4-100mbit.png'
set title "Synchronising the gradients of resnet50: 4 workers, 100mbit links\n2 cores of AMD EPYC, Linux 6.18.44-fc-v669; median of 5 rounds"
set xlabel 'time of a step (ms, logarithmic)'
set logscale x
set xrange [41.6313:71664.7]
set yrange [0.3:5.7]
set format x '%g'
set grid xtics lc rgb '#bbbbbb'
set ytics nomirror scale 0
set bmargin 6
set key at screen 0.97, screen 0.035 right bottom horizontal
set style fill solid 1.0
plot 'sync-resnet50-p4-100mbit.dat' using ($6 == 1 ? $3 : NaN):1:2:3:($1-0.32):($1+0.32):ytic(9) \
       with boxxyerror lc rgb '#0072B2' title 'cddp', \
     '' using ($6 == 0 ? $3 : NaN):1:2:3:($1-0.32):($1+0.32) \
       with boxxyerror lc rgb '#E69F00' title 'PyTorch over Gloo', \
     '' using 3:1:4:5 with xerrorbars pt 0 lc rgb 'black' lw 1.5 title 'lowest to highest round', \
     '' using 7:1:8 with labels left offset 1,0 notitle
