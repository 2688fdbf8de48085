set terminal pngcairo size 3000,1190 font 'DejaVu Sans,22' background 'white'
set lmargin 11
set tmargin 3
set border lw 1.5
set key below maxcols 1 samplen 5 Left reverse
set grid lt 1 lw 1 lc rgb '#dddddd'
set xlabel 'workers'
set output 'scaling.png'
set multiplot layout 1,3
data = 'scaling.dat'
set bmargin 12.100000000000001
set logscale x 2
set xrange [1:256]
set title 'Speed-up over one worker'
set ylabel 'speed-up (times)'
set logscale y 2
set yrange [*:256]
plot x with lines lw 2 lc rgb '#999999' title 'ideal', data index 'dense projected' using 1:4:5 with filledcurves lc rgb '#000000' fs transparent solid 0.15 noborder notitle, data index 'split projected' using 1:4:5 with filledcurves lc rgb '#d55e00' fs transparent solid 0.15 noborder title 'projected, range without any one point', data index 'dense projected' using 1:2 with lines dt (18,8) lw 4 lc rgb '#000000' title 'dense, projected (held-out error 2%)', data index 'dense measured' using 1:2 with points pt 5 ps 2.4 lc rgb '#000000' title 'dense, measured', data index 'split projected' using 1:2 with lines dt (9,6) lw 4 lc rgb '#d55e00' title 'split, projected (held-out error 14%)', data index 'split measured' using 1:2 with points pt 7 ps 2.4 lc rgb '#d55e00' title 'split, measured'
unset logscale y
set yrange [0:105<*] noextend
set title 'Efficiency: speed-up per worker'
set ylabel 'efficiency (%)'
plot 100 with lines lw 2 lc rgb '#999999' title 'ideal', data index 'dense projected' using 1:6:7 with filledcurves lc rgb '#000000' fs transparent solid 0.15 noborder notitle, data index 'split projected' using 1:6:7 with filledcurves lc rgb '#d55e00' fs transparent solid 0.15 noborder title 'projected, range without any one point', data index 'dense projected' using 1:3 with lines dt (18,8) lw 4 lc rgb '#000000' title 'dense, projected (held-out error 2%)', data index 'dense measured' using 1:3 with points pt 5 ps 2.4 lc rgb '#000000' title 'dense, measured', data index 'split projected' using 1:3 with lines dt (9,6) lw 4 lc rgb '#d55e00' title 'split, projected (held-out error 14%)', data index 'split measured' using 1:3 with points pt 7 ps 2.4 lc rgb '#d55e00' title 'split, measured'
unset logscale
set title 'Step-time breakdown'
set ylabel 'step time (ms)'
set xtics nomirror rotate by 90 right font ',22'
set grid noxtics
set boxwidth 0.8
set xlabel 'workers' offset 0,-0.8
set xrange [0.3:18.7]
set yrange [0:17177.45434999294]
set label 'dense' at first 5, graph 0.95 center
set label 'split' at first 14.5, graph 0.95 center
plot data index 'bars measured' using 1:4:xtic(2) with boxes lc rgb '#f0a830' fs solid border lc rgb 'black' title 'exposed communication, measured', '' index 'bars projected' using 1:4:xtic(2) with boxes lc rgb '#f0a830' fs pattern 4 border lc rgb 'black' title 'exposed communication, projected', '' index 'bars measured' using 1:3 with boxes lc rgb '#1f3f7a' fs solid border lc rgb 'black' title 'computation, measured', '' index 'bars projected' using 1:3 with boxes lc rgb '#1f3f7a' fs pattern 5 border lc rgb 'black' title 'computation, projected'
unset multiplot
