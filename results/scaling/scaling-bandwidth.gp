set terminal pngcairo noenhanced size 1650,1150 font 'DejaVu Sans,20' background 'white'
set output 'scaling-bandwidth.png'
data = 'scaling-bandwidth.dat'
set border lw 1.5
set grid lt 1 lw 1 lc rgb '#dddddd'
set tics nomirror
set format '%g'
set xlabel offset 0, 0.3
set style line 1 lc rgb '#000000' pt 5 ps 2 lw 3 dt solid pointinterval 1
set style line 6 lc rgb '#56b4e9' pt 4 ps 2 lw 3 dt (14,5,3,5,3,5) pointinterval 1
set style line 2 lc rgb '#d55e00' pt 7 ps 2 lw 3 dt (9,6) pointinterval 1
set style line 4 lc rgb '#009e73' pt 13 ps 2 lw 3 dt (14,5,3,5) pointinterval 1
set title 'Step time over bandwidth, all projected from measured points' font ',22'
set logscale xy
set xrange [0.1:100]
set xlabel 'bandwidth of a worker (Gbit/s)'
set ylabel 'step time (ms)'
set key below maxcols 1 samplen 5 Left reverse
set bmargin 8.9
plot data index 'dense' using 1:2 with linespoints ls 1 dt (18,8) title 'dense, 8 workers (held-out error 2% at 1 Gbit/s)', data index 'dense' using 1:3 with lines ls 1 dt (18,8) title 'dense, 256 workers (held-out error 2% at 1 Gbit/s)', data index 'split' using 1:2 with linespoints ls 2 dt (9,6) title 'split, 8 workers (held-out error 14% at 1 Gbit/s)', data index 'split' using 1:3 with lines ls 2 dt (9,6) title 'split, 256 workers (held-out error 14% at 1 Gbit/s)'
