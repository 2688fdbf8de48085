set terminal pngcairo noenhanced size 3000,1190 font 'DejaVu Sans,20' background 'white'
set output 'scaling.png'
data = 'scaling.dat'
set border lw 1.5
set grid lt 1 lw 1 lc rgb '#dddddd'
set tics nomirror
set format '%g'
set xlabel offset 0, 0.3
set style line 1 lc rgb '#000000' pt 5 ps 2 lw 3 dt solid pointinterval 1
set style line 6 lc rgb '#56b4e9' pt 4 ps 2 lw 3 dt (14,5,3,5,3,5) pointinterval 1
set style line 2 lc rgb '#d55e00' pt 7 ps 2 lw 3 dt (9,6) pointinterval 1
set style line 4 lc rgb '#009e73' pt 13 ps 2 lw 3 dt (14,5,3,5) pointinterval 1
set lmargin 11
set tmargin 3
set key below maxcols 1 samplen 5 Left reverse
set xlabel 'workers'
set multiplot layout 1,3
set bmargin 12.100000000000001
set logscale x 2
set xrange [1:256]
set title 'Speed-up over one worker' font ',22'
set ylabel 'speed-up (times)'
set logscale y 2
set yrange [*:256]
plot x with lines lw 2 lc rgb '#999999' title 'ideal', data index 'dense projected' using 1:4:5 with filledcurves ls 1 fs transparent solid 0.15 noborder notitle, data index 'split projected' using 1:4:5 with filledcurves ls 2 fs transparent solid 0.15 noborder title 'projected, range without any one point', data index 'dense projected' using 1:2 with lines ls 1 dt (18,8) title 'dense, projected (held-out error 2%)', data index 'dense measured' using 1:2 with points ls 1 title 'dense, measured', data index 'split projected' using 1:2 with lines ls 2 dt (9,6) title 'split, projected (held-out error 14%)', data index 'split measured' using 1:2 with points ls 2 title 'split, measured'
unset logscale y
set yrange [0:105<*] noextend
set title 'Efficiency: speed-up per worker' font ',22'
set ylabel 'efficiency (%)'
plot 100 with lines lw 2 lc rgb '#999999' title 'ideal', data index 'dense projected' using 1:6:7 with filledcurves ls 1 fs transparent solid 0.15 noborder notitle, data index 'split projected' using 1:6:7 with filledcurves ls 2 fs transparent solid 0.15 noborder title 'projected, range without any one point', data index 'dense projected' using 1:3 with lines ls 1 dt (18,8) title 'dense, projected (held-out error 2%)', data index 'dense measured' using 1:3 with points ls 1 title 'dense, measured', data index 'split projected' using 1:3 with lines ls 2 dt (9,6) title 'split, projected (held-out error 14%)', data index 'split measured' using 1:3 with points ls 2 title 'split, measured'
unset logscale
set title 'Step-time breakdown' font ',22'
set ylabel 'step time (ms)'
set xtics nomirror rotate by 90 right font ',20'
set grid noxtics
set boxwidth 0.8
set xlabel 'workers' offset 0,-0.8
set xrange [0.3:18.7]
set yrange [0:17177.45434999294]
set label 'dense' at first 5, graph 0.95 center
set label 'split' at first 14.5, graph 0.95 center
plot data index 'bars measured' using 1:4:xtic(2) with boxes lc rgb '#f0a830' fs solid border lc rgb 'black' title 'exposed communication, measured', '' index 'bars projected' using 1:4:xtic(2) with boxes lc rgb '#f0a830' fs pattern 4 border lc rgb 'black' title 'exposed communication, projected', '' index 'bars measured' using 1:3 with boxes lc rgb '#1f3f7a' fs solid border lc rgb 'black' title 'computation, measured', '' index 'bars projected' using 1:3 with boxes lc rgb '#1f3f7a' fs pattern 5 border lc rgb 'black' title 'computation, projected'
unset multiplot
