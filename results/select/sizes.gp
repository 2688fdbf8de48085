set terminal pngcairo noenhanced size 1650,1150 font 'DejaVu Sans,20' background 'white'
set output 'sizes.png'
data = 'sizes.dat'
set border lw 1.5
set grid lt 1 lw 1 lc rgb '#dddddd'
set tics nomirror
set format '%g'
set xlabel offset 0, 0.3
set style line 2 lc rgb '#d55e00' pt 7 ps 2 lw 3 dt (9,6) pointinterval 1
set style line 5 lc rgb '#cc79a7' pt 11 ps 2 lw 3 dt (4,5) pointinterval 1
set style line 4 lc rgb '#009e73' pt 13 ps 2 lw 3 dt (14,5,3,5) pointinterval 1
set style line 6 lc rgb '#56b4e9' pt 4 ps 2 lw 3 dt (14,5,3,5,3,5) pointinterval 1
set style line 3 lc rgb '#0072b2' pt 9 ps 2 lw 3 dt (18,8) pointinterval 1
set style line 1 lc rgb '#000000' pt 5 ps 2 lw 3 dt solid pointinterval 1
set logscale x
set xrange [700000:140000000]
set xtics ('1' 1000000, '2' 2000000, '5' 5000000, '10' 10000000, '20' 20000000, '50' 50000000, '100' 100000000)
set logscale y
set yrange [0.34625849999999997:7964.8295075999995]
set ytics ('1' 1, '10' 10, '100' 100, '1000' 1000)
set title "Selecting the top 1% of a gradient with error feedback\nnormal gradients, memory residual, 1 thread, cold caches" font ',22'
set xlabel 'gradient elements (millions)'
set ylabel 'median time (ms)'
set key below maxcols 2 samplen 5 Left reverse
set bmargin 7.8
plot data index 'pipeline_ms' using 1:2 with linespoints ls 2 title 'decompress-style pipeline (libtorch)', data index 'topk_ms' using 1:2 with linespoints ls 5 title 'at::topk and gather', data index 'nth_element_ms' using 1:2 with linespoints ls 4 title 'std::nth_element, one thread', data index 'cold_ms' using 1:2 with linespoints ls 6 title 'cddp select, no threshold kept yet', data index 'ms_median' using 1:2 with linespoints ls 3 title 'cddp select', data index 'triad_ms' using 1:2 with linespoints ls 1 title 'triad e = g + a e (memory speed)'
