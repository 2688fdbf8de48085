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
set style line 8 lc rgb '#666666' pt 8 ps 2 lw 3 dt (24,6) pointinterval 1
set style line 3 lc rgb '#0072b2' pt 9 ps 2 lw 3 dt (18,8) pointinterval 1
set style line 7 lc rgb '#e69f00' pt 6 ps 2 lw 3 dt (9,4,3,4) pointinterval 1
set style line 5 lc rgb '#cc79a7' pt 11 ps 2 lw 3 dt (4,5) pointinterval 1
set title 'Step time over bandwidth, all projected from measured points' font ',22'
set logscale x
set xrange [0.1:100]
set xlabel 'bandwidth of a worker (Gbit/s)'
set ylabel 'step time (ms)'
set key below maxcols 1 samplen 5 Left reverse
set bmargin 8.9
set logscale y
set yrange [339.5306002187691:58021.078475429036]
set ytics ('500' 500, '1000' 1000, '2000' 2000, '5000' 5000, '10000' 10000, '20000' 20000, '50000' 50000)
plot data index 'dense' using 1:2 with linespoints ls 1 dt (18,8) title 'dense, 8 workers (held-out error 2% at 1 Gbit/s)', data index 'dense' using 1:3 with linespoints ls 8 title 'dense, 256 workers (held-out error 2% at 1 Gbit/s)', data index 'split' using 1:2 with linespoints ls 2 dt (9,6) title 'split, 8 workers (held-out error 14% at 1 Gbit/s)', data index 'split' using 1:3 with linespoints ls 7 title 'split, 256 workers (held-out error 14% at 1 Gbit/s)'
