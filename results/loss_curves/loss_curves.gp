set terminal pngcairo size 1500,900 font ",20"
set output "loss_curves.png"
set title "ResNet-18 on CIFAR-10, batches of 8: training loss, mean of 25 steps"
set xlabel "step"
set ylabel "cross-entropy loss (nats)"
set yrange [0:*]
set grid lc rgb "#dddddd"
set key outside bottom center horizontal
plot "loss_curves.dat" using 1:2 with lines lw 3 lc rgb "#2166ac" dt 1 title "cddp, seed 1", "loss_curves.dat" using 1:3 with lines lw 3 lc rgb "#ef8a62" dt 2 title "Python, seed 1"
