#!/usr/bin/env bash
# A slow network on one machine: workers in network namespaces of their own, joined
# by a bridge, with links that are shaped at both ends. Needs root and iproute2.
#
#   scripts/lab.sh up N [RATE]               N workers; RATE as 1gbit (default), none
#   scripts/lab.sh run [-n N] -- COMMAND...  COMMAND once per worker
#   scripts/lab.sh status | down
#
# scripts/lab.sh --help says more. Touches nothing but the namespaces cddp-lab-*. With
# CDDP_LAB=NAME they are NAME-*: a lab of its own beside others.
set -Eeuo pipefail

readonly PREFIX=${CDDP_LAB:-cddp-lab}
case $PREFIX in
  *[!a-z0-9-]*) echo "lab.sh: CDDP_LAB is of a-z, 0-9 and -, got \"$PREFIX\"" >&2; exit 2 ;;
esac
readonly NET=$PREFIX-net    # the bridge's namespace
readonly SUBNET=10.77.0     # worker i: .(i+1)
readonly MAX_WORKERS=64
readonly PEER_LOST=3        # what a worker ends with that only lost another one
readonly GRACE=5            # seconds for the others after a failure, then TERM
readonly TERM_GRACE=3       # seconds after TERM, then KILL

usage() {
  cat <<'END'
A slow network on one machine, for measuring gradient synchronisation.

  scripts/lab.sh up N [RATE]    make N workers (1 to 64), or make them anew
  scripts/lab.sh run [-n N] -- COMMAND...
                                run COMMAND once in each worker, or in the first N
  scripts/lab.sh status         what is there; ends with 1 when nothing is
  scripts/lab.sh down           remove it, with all processes in it

Needs root and the programs ip and tc (Debian package iproute2).

The network: worker i is the network namespace cddp-lab-i with the interface eth0 and
the address 10.77.0.(i+1). A veth pair ties it to the bridge in cddp-lab-net; both ends
are shaped by a token bucket (tc tbf) to RATE, so each worker sends and receives at
RATE at once, like on a switch. A packet waits at most 50 ms. RATE is a number with
kbit, mbit or gbit, from 100kbit to 100gbit (1gbit unless given), or none: not shaped.

The workers: COMMAND gets RANK, WORLD_SIZE, LOCAL_RANK=0, LOCAL_WORLD_SIZE=1,
MASTER_ADDR=10.77.0.1, MASTER_PORT (29400 unless set) and GLOO_SOCKET_IFNAME=eth0.
As each believes that it has the machine for itself, OMP_NUM_THREADS is 1 unless set.
Rank 0's stdout is the stdout of run; all else goes to stderr, as "[rank] line".

CDDP_LAB=NAME in the environment of all of these makes, uses and removes another lab,
with NAME in place of cddp-lab.

run ends with the code of the first worker that failed (128 + n for signal n); one that
ended with 3 only reports another's loss and counts only when no other failed. After a
failure the others have 5 s, then TERM, then KILL. Ctrl-C stops all.

Examples:

  scripts/lab.sh up 4                      # 4 workers at 1 Gbit/s
  scripts/lab.sh run -- sh -c 'ip -br address show eth0 >&2; echo "rank $RANK"'
  scripts/lab.sh run -n 2 -- build/release/cddp train --epochs 1
  OMP_NUM_THREADS=2 scripts/lab.sh run -- python3 bench/peers/ddp_peer.py --help
  scripts/lab.sh up 8 100mbit              # instead of the 4
  ip netns exec cddp-lab-0 ping -c 3 10.77.0.2
  scripts/lab.sh down
END
}

# refuse MESSAGE: ends with 2, for what the caller can mend.
refuse() {
  echo "lab.sh: $1" >&2
  exit 2
}

require_lab_powers() {
  local program
  for program in ip tc; do
    command -v "$program" >/dev/null ||
      refuse "the program $program is missing: install the package iproute2."
  done
  [ "$(id -u)" -eq 0 ] || refuse "$1 needs root: network namespaces are made by root only."
}

# workers_up: how many there are.
workers_up() {
  ip netns list | grep -cE "^$PREFIX-[0-9]+( |\$)" || true
}

# rate_to_kbit RATE: in kbit/s, rounded; fails for anything but a rate.
rate_to_kbit() {
  [[ $1 =~ ^([0-9]{1,9}(\.[0-9]{1,6})?)(k|m|g)bit$ ]] || return 1
  awk -v number="${BASH_REMATCH[1]}" -v unit="${BASH_REMATCH[3]}" 'BEGIN {
    printf "%.0f", number * (unit == "k" ? 1 : unit == "m" ? 1e3 : 1e6) }'
}

# burst_kib KBIT: about 1 ms at that rate (128 KiB at 1 Gbit/s), as the bucket must
# last until a busy processor refills it; at low rates a few packets.
burst_kib() {
  local kib=$((($1 * 128 + 999999) / 1000000))
  echo $((kib < 16 ? 16 : kib))
}

up() {
  local workers=${1-} rate=${2-1gbit} kbit=0 rank
  [ $# -ge 1 ] || refuse "up needs the number of workers, as in: lab.sh up 4"
  [ $# -le 2 ] || refuse "up takes a number of workers and a rate, not '${*:3}' besides."
  if ! [[ $workers =~ ^[1-9][0-9]?$ ]] || [ "$workers" -gt $MAX_WORKERS ]; then
    refuse "the number of workers is 1 to $MAX_WORKERS, not '$workers'."
  fi
  rate=${rate,,}
  if [ "$rate" != none ]; then
    kbit=$(rate_to_kbit "$rate") ||
      refuse "a rate is a number with kbit, mbit or gbit, as 1gbit, or none, not '$rate'."
    if [ "$kbit" -lt 100 ] || [ "$kbit" -gt 100000000 ]; then
      refuse "the rate is 100kbit to 100gbit, not $rate."
    fi
  fi
  require_lab_powers up
  remove_all
  trap 'echo "lab.sh: not made; removing what is there." >&2; remove_all' ERR
  ip netns add $NET
  ip -n $NET link add bridge type bridge
  ip -n $NET link set bridge addrgenmode none up
  for ((rank = 0; rank < workers; rank++)); do
    add_worker "$rank" "$kbit"
  done
  trap - ERR
  echo "$workers workers, $SUBNET.1 to $SUBNET.$workers, at $rate."
}

# add_worker RANK KBIT: 0 kbit leaves the link unshaped.
add_worker() {
  local rank=$1 kbit=$2 name=$PREFIX-$1 port=port$1
  ip netns add "$name"
  ip -n "$name" link set lo up
  ip -n $NET link add "$port" type veth peer name eth0 netns "$name"
  # No IPv6 addresses: their chatter would be counted as a worker's.
  ip -n "$name" link set eth0 addrgenmode none
  ip -n $NET link set "$port" addrgenmode none master bridge
  if [ "$kbit" -gt 0 ]; then
    shape "$name" eth0 "$kbit"
    shape $NET "$port" "$kbit"
  fi
  ip -n "$name" address add "$SUBNET.$((rank + 1))/24" dev eth0
  ip -n "$name" link set eth0 up
  ip -n $NET link set "$port" up
}

# shape NAMESPACE DEVICE KBIT
shape() {
  tc -n "$1" qdisc add dev "$2" root tbf rate "$3kbit" burst "$(burst_kib "$3")kb" latency 50ms
}

# remove_all: processes first, as a namespace lives on while one is in it.
remove_all() {
  local name pids
  for name in $(ip netns list | awk -v p="^$PREFIX-([0-9]+|net)\$" '$1 ~ p { print $1 }'); do
    mapfile -t pids < <(ip netns pids "$name")
    [ ${#pids[@]} -eq 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
    ip netns delete "$name"
  done
}

status() {
  local workers rank
  [ $# -eq 0 ] || refuse "status takes no arguments."
  require_lab_powers status
  workers=$(workers_up)
  if [ "$workers" -eq 0 ]; then
    echo "The lab is down."
    return 1
  fi
  echo "$workers workers:"
  for ((rank = 0; rank < workers; rank++)); do
    echo "  $PREFIX-$rank  $SUBNET.$((rank + 1))  $(link_rate "$rank")," \
      "$(ip netns pids "$PREFIX-$rank" | wc -l) processes"
  done
}

link_rate() {
  tc -n "$PREFIX-$1" qdisc show dev eth0 |
    awk '/tbf/ { for (i = 1; i < NF; i++) if ($i == "rate") rate = $(i + 1) }
         END { print rate == "" ? "not shaped" : rate }'
}

down() {
  [ $# -eq 0 ] || refuse "down takes no arguments."
  require_lab_powers down
  remove_all
}

# ---- run

declare -A rank_of=() # of the workers that have not been waited for, by process
prefixers=()
stop_code=""          # what run ends with when a signal has asked for the end
run_mark=""           # in the environment of all that this run has started

run() {
  local count=all workers rank
  while [ $# -gt 0 ]; do
    case $1 in
      -n) [ $# -ge 2 ] || refuse "-n needs a number of workers."
          count=$2
          shift 2 ;;
      --) shift
          break ;;
      *) refuse "run takes -n N and then -- COMMAND..., not '$1'." ;;
    esac
  done
  [ $# -gt 0 ] || refuse "run needs a command after --, as in: lab.sh run -- hostname"
  [[ $count =~ ^([1-9][0-9]?|all)$ ]] || refuse "-n is a number from 1, not '$count'."
  require_lab_powers run
  workers=$(workers_up)
  [ "$workers" -gt 0 ] || refuse "the lab is down; first: lab.sh up N"
  [ "$count" != all ] || count=$workers
  [ "$count" -le "$workers" ] || refuse "-n $count, but the lab has $workers workers."
  type -P "$1" >/dev/null || refuse "there is no program '$1'."

  run_mark=CDDP_LAB_RUN=$$-$EPOCHREALTIME
  # Noted only, as bash 5.2 crashes where a trap of `read` exits.
  trap 'stop_code=130' INT
  trap 'stop_code=143' TERM
  trap 'stop_code=129' HUP
  trap 'end_all' EXIT
  for ((rank = 0; rank < count; rank++)); do
    start_worker "$rank" "$count" "$@"
  done
  await_workers
}

# start_worker RANK WORLD_SIZE COMMAND...: in a session of its own, so that it and its
# children can be ended together and Ctrl-C reaches this script only. Should this
# script be killed, the kernel kills the worker.
start_worker() {
  local rank=$1 size=$2 log output
  shift 2
  exec {log}> >(trap '' INT TERM HUP; exec setsid sed -u "s/^/[$rank] /" >&2)
  prefixers+=($!)
  output=$log
  [ "$rank" -ne 0 ] || output=1
  setsid setpriv --pdeathsig KILL ip netns exec "$PREFIX-$rank" env \
    RANK="$rank" WORLD_SIZE="$size" LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 \
    MASTER_ADDR=$SUBNET.1 MASTER_PORT="${MASTER_PORT-29400}" GLOO_SOCKET_IFNAME=eth0 \
    OMP_NUM_THREADS="${OMP_NUM_THREADS-1}" "$run_mark" \
    "$@" >&"$output" 2>&"$log" {log}>&- &
  rank_of[$!]=$rank
  exec {log}>&-
}

# await_workers: until all have ended; returns what `run` is to end with. Looks five
# times a second: bash's own wait -n forgets processes that end at the same time.
await_workers() {
  local code=0 signals=(TERM KILL) deadline="" process status never messages
  exec {never}<> <(:) {messages}>&2
  while [ ${#rank_of[@]} -gt 0 ]; do
    read -r -t 0.2 -u "$never" || true # sleeps, without a process
    for process in "${!rank_of[@]}"; do
      if kill -0 "$process" 2>/dev/null; then
        continue
      fi
      status=0
      wait "$process" || status=$?
      # Those that had to be stopped have not failed.
      if [ "$status" -ne 0 ] && [ ${#signals[@]} -eq 2 ]; then
        echo "lab.sh: worker ${rank_of[$process]} ended with $status." >&"$messages"
        if [ "$code" -eq 0 ] || [ "$code" -eq $PEER_LOST ]; then
          code=$status
        fi
        deadline=${deadline:-$((SECONDS + GRACE))}
      fi
      # What it started and left behind ends with it.
      kill -KILL -- "-$process" || true
      unset "rank_of[$process]"
    done
    if [ -n "$stop_code" ] && [ ${#signals[@]} -eq 2 ]; then
      echo "lab.sh: stopping the workers." >&"$messages"
      deadline=$((SECONDS - 1))
    fi
    if [ -n "$deadline" ] && [ $SECONDS -gt "$deadline" ] && [ ${#signals[@]} -gt 0 ]; then
      signal_workers "${signals[0]}"
      signals=("${signals[@]:1}")
      deadline=$((SECONDS + TERM_GRACE))
    fi
  done 2>/dev/null # where bash itself reports killed processes
  end_all
  trap - EXIT
  wait "${prefixers[@]}" || true # their last lines
  return "${stop_code:-$code}"
}

# signal_workers SIGNAL: each with what it has started.
signal_workers() {
  local process
  for process in "${!rank_of[@]}"; do
    kill "-$1" -- "-$process" 2>/dev/null || true
  done
}

# end_all: kills the workers, and what has left their sessions, by the mark.
end_all() {
  local rank process
  signal_workers KILL
  for ((rank = 0; rank < MAX_WORKERS; rank++)); do
    [ -e "/run/netns/$PREFIX-$rank" ] || break
    for process in $(ip netns pids "$PREFIX-$rank"); do
      if grep -qzxF "$run_mark" "/proc/$process/environ" 2>/dev/null; then
        kill -KILL "$process" 2>/dev/null || true
      fi
    done
  done
}

main() {
  local verb=${1-}
  [ $# -eq 0 ] || shift
  case $verb in
    up | down | status | run) "$verb" "$@" ;;
    -h | --help | help) usage ;;
    "") refuse "up, down, status or run? lab.sh --help says more." ;;
    *) refuse "no command '$verb': there are up, down, status and run; see lab.sh --help." ;;
  esac
}

main "$@"
