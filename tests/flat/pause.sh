# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The host's side of tests/flat/pause.c: pauses and resumes the guest, and checks what it lost.
# Sourced by tests/flat/run. Times are microseconds since the epoch.

pause_cycles=${PAUSE_CYCLES:-40}

host_us() { echo "${EPOCHREALTIME/[.,]/}"; }

pause_ctl() { # command
	$enlite ctl pause "$1" >/dev/null 2>>"$log.err"
}

# The next line of the guest, "" after $limit seconds.
guest_line() {
	guest_said=
	read -r -t $limit guest_said <&7
	guest_said=${guest_said%$'\r'}
	printf '%s\n' "$guest_said" >>"$log.out"
}

ask_guest() { # key
	printf '%s' "$1" >&8
	guest_line
}

# CPU time of all threads, nanoseconds.
cpu_ns() { # pid
	cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

# One pause of so many milliseconds. Sums up the time that is surely in the pause, and the time that
# may be: the guest's clock stands still at least for the first and at most for the second.
pause_once() { # ms
	local asked paused resuming resumed
	asked=$(host_us)
	pause_ctl pause || { pause_problem="pause is refused"; return 1; }
	paused=$(host_us)
	[ "$1" = 0 ] || sleep "$(printf '0.%03d' "$1")"
	resuming=$(host_us)
	pause_ctl resume || { pause_problem="resume is refused"; return 1; }
	resumed=$(host_us)
	surely=$((surely + resuming - paused))
	maybe=$((maybe + resumed - asked))
}

# A paused guest and its host use no CPU: of 500 ms, at most 5.
pause_idle() {
	local before after
	pause_ctl pause || return 1
	before=$(cpu_ns "$guest_pid")
	sleep 0.5
	after=$(cpu_ns "$guest_pid")
	pause_ctl resume || return 1
	pause_cpu_us=$(((after - before) / 1000))
	[ $pause_cpu_us -le 5000 ]
}

pause_tap() { # name, problem ("": none)
	if [ -z "$2" ]; then
		echo "ok - $label: $1"
	else
		echo "not ok - $label: $1: $2"
		tail -n 5 "$log.err" "$log.out" | sed 's/^/#   /'
	fi
}

# $passed of the guest against the host's clock: 1 in 1,000 for different clocks.
time_problem() { # us passed, least, most
	if [ -z "$1" ] || [ "$1" -lt $(($2 - $2 / 1000)) ]; then
		echo "the guest counted $1 us, less than $2"
	elif [ "$1" -gt $(($3 + $3 / 1000)) ]; then
		echo "the guest counted $1 us, more than $3"
	fi
}

pause_session() {
	local start_asked started quit_asked ended cycle
	pause_problem='' pause_cpu_us='' surely=0 maybe=0
	guest_line
	[ "$guest_said" = ready ] || { pause_problem="the guest says '$guest_said'"; return; }
	start_asked=$(host_us)
	ask_guest s
	started=$(host_us)
	for ((cycle = 0; cycle < pause_cycles; cycle++)); do
		pause_once $((RANDOM % 10 ? RANDOM % 6 : RANDOM % 60)) || return
		[ $((cycle % 4)) = 0 ] || continue
		ask_guest c
		[ "$guest_said" = alive ] || { pause_problem="after cycle $cycle: '$guest_said'"; return; }
	done
	quit_asked=$(host_us)
	ask_guest q
	ended=$(host_us)
	least=$((quit_asked - started - maybe)) most=$((ended - start_asked - surely))
	read -r _ passed tsc_passed <<<"$guest_said"
}

start_pause_guest() { # VPs, words for the guest...
	local vps=$1
	shift
	label="$suite/pause with $vps VP, $*"
	log=$log_dir/${label//[\/ ,]/-}
	: >"$log.out"
	coproc GUEST {
		exec timeout --kill-after=5 $limit $enlite run --kernel build/flat/pause.elf --test-device \
			--memory 64M --cpus "$vps" --console stdio --append "$*" --name pause \
			--stimer --verbose 2>"$log.err"
	}
	guest_job=$GUEST_PID
	exec 7<&"${GUEST[0]}" 8>&"${GUEST[1]}"
}

tell_times() {
	pause_tap "no time is lost beyond the pauses, none is gained" \
		"$(time_problem "$passed" $least $most)"
	if grep -q "cannot stop a guest's TSC" "$log.err"; then
		echo "ok - $label: the TSC stands still # SKIP this KVM has no working TSC offset"
	else
		pause_tap "the TSC stands still" "$(time_problem "$tsc_passed" $least $most)"
	fi
}

run_pause() { # VPs, words for the guest...
	local passed='' tsc_passed='' least='' most=''
	start_pause_guest "$@"
	pause_session
	pause_tap "$pause_cycles cycles, and everything lives" "$pause_problem"
	[ -n "$pause_problem" ] || tell_times
	cat <&7 >>"$log.out"
	exec 7<&- 8>&-
	wait $guest_job
	tell_end "$label" $? $PASSED "$log.err"
	to_tap "$label" "$log.out"
}

run_pause_idle() { # VPs, words for the guest...
	local problem=
	start_pause_guest "$@"
	guest_line
	guest_pid=$(pgrep -P $guest_job)
	pause_idle || problem="$pause_cpu_us us of CPU in 500 ms"
	pause_tap "uses no CPU" "$problem"
	pause_ctl pause
	pause_ctl stop
	exec 7<&- 8>&-
	wait $guest_job
	tell_end "$label, stopped while paused" $? 0 "$log.err"
}

guest_pause() {
	export ENLITE_RUN_DIR
	ENLITE_RUN_DIR=$(mktemp -d)
	run_pause 1 hlt oneshot
	run_pause 1 pio periodic
	run_pause 1 msr deadline
	run_pause 2 pio msr oneshot
	run_pause 2 hlt periodic
	run_pause 2 spin deadline
	run_pause_idle 1 hlt oneshot
	run_pause_idle 2 pio msr periodic
	rm -rf "$ENLITE_RUN_DIR"
}
