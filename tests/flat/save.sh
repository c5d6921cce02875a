# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The guest of tests/flat/pause.c is saved at any moment, goes on in a new process, and must have lost
# nothing. Sourced by tests/flat/run, after pause.sh.

save_cycles=${SAVE_CYCLES:-10}

save_ctl() { $enlite ctl save "$@" >/dev/null 2>>"$log.err"; }

# The VM of the image, with the console that the old one had. From here on it is $guest_job.
restore_guest() { # image
	exec 7<&- 8>&-
	coproc GUEST {
		exec timeout --kill-after=5 $limit $enlite run --restore "$1" --console stdio 2>>"$log.err"
	}
	guest_job=$GUEST_PID
	exec 7<&"${GUEST[0]}" 8>&"${GUEST[1]}"
}

# A key that comes before the VM runs waits in the pipe.
save_once() { # image, options of save...
	save_ctl save "$@" || { save_problem="save is refused"; return 1; }
	wait $guest_job || { save_problem="the saved VM ends with status $?"; return 1; }
	restore_guest "$1"
	ask_guest c
	[ "$guest_said" = alive ] || { save_problem="'$guest_said'"; return 1; }
}

save_session() {
	local cycle
	save_problem=
	guest_line
	[ "$guest_said" = ready ] || { save_problem="the guest says '$guest_said'"; return; }
	ask_guest s
	for ((cycle = 0; cycle < save_cycles; cycle++)); do
		sleep "0.0$((RANDOM % 10))"
		if [ $((cycle % 2)) = 0 ]; then
			save_once "$image"
		else
			save_once "$image" --raw
		fi || { save_problem="cycle $cycle: $save_problem"; return; }
	done
	ask_guest q
}

start_save_guest() { # VPs, words for the guest...
	local vps=$1
	shift
	label="$suite/save with $vps VP, $*"
	log=$log_dir/${label//[\/ ,]/-}
	image=$log.image
	: >"$log.out"
	coproc GUEST {
		exec timeout --kill-after=5 $limit $enlite run --kernel build/flat/pause.elf --test-device \
			--memory 64M --cpus "$vps" --console stdio --append "$*" --name save \
			--stimer 2>"$log.err"
	}
	guest_job=$GUEST_PID
	exec 7<&"${GUEST[0]}" 8>&"${GUEST[1]}"
}

end_save_guest() {
	cat <&7 >>"$log.out"
	exec 7<&- 8>&-
	wait $guest_job
	tell_end "$label" $? $PASSED "$log.err"
	to_tap "$label" "$log.out"
	rm -f "$image"
}

run_save() { # VPs, words for the guest...
	start_save_guest "$@"
	save_session
	pause_tap "$save_cycles times, and everything lives" "$save_problem"
	[ -z "$save_problem" ] || kill $guest_job
	end_save_guest
}

# It goes on beside its image, from which a second VM starts.
run_save_keep() { # VPs, words for the guest...
	local problem=
	start_save_guest "$@"
	guest_line
	ask_guest s
	save_ctl save "$image" --keep || problem="save is refused"
	ask_guest c
	[ "$guest_said" = alive ] || problem="after the save: '$guest_said'"
	pause_tap "goes on with --keep" "$problem"
	save_ctl stop
	wait $guest_job
	restore_guest "$image"
	for _ in {1..10}; do # the guest wants to have done something
		ask_guest c
	done
	ask_guest q
	end_save_guest
}

# KiB of guest memory of one process: mapped from the image, counted by "Rss" or "Pss".
image_memory() { # pid, Rss or Pss
	awk -v image="$(realpath "$image")" -v key="$2:" '/^[0-9a-f]+-[0-9a-f]+ / { guest = $NF == image }
		guest && $1 == key { sum += $2 } END { print sum + 0 }' "/proc/$1/smaps"
}

# Not confined, so that any user may see its memory.
start_clones() { # how many
	local number tries
	for ((number = 0; number < $1; number++)); do
		timeout --kill-after=5 $limit $enlite run --restore "$image" --console none --sandbox off \
			--name clone$number </dev/null 2>>"$log.err" &
	done
	for ((number = 0; number < $1; number++)); do
		for ((tries = 0; tries < 1200; tries++)); do
			$enlite ctl clone$number status >/dev/null 2>&1 && break
			sleep 0.1
		done
		[ "$tries" -lt 1200 ] || { save_problem="clone $number does not run"; return; }
	done
}

# What clones of one image do not write to is in memory once.
run_clones() { # how many
	local child rss=0 pss=0 number
	save_problem=
	start_save_guest 1 hlt oneshot
	label="$suite/save, $1 clones of a raw image"
	guest_line
	ask_guest s
	save_ctl save "$image" --raw || save_problem="save is refused"
	cat <&7 >/dev/null
	exec 7<&- 8>&-
	wait $guest_job
	[ -n "$save_problem" ] || start_clones "$1"
	for child in $(pgrep -f "run --restore $image --console none"); do
		rss=$((rss + $(image_memory "$child" Rss))) pss=$((pss + $(image_memory "$child" Pss)))
	done
	echo "# $1 clones have $rss KiB of guest memory, and share it: $pss KiB in all"
	[ "$pss" -gt 0 ] && [ $((pss * 4)) -lt "$rss" ] || save_problem=${save_problem:-"they do not share"}
	pause_tap "share what they do not write" "$save_problem"
	for ((number = 0; number < $1; number++)); do
		$enlite ctl clone$number stop >/dev/null 2>&1
	done
	wait
	rm -f "$image"
}

guest_save() {
	export ENLITE_RUN_DIR
	ENLITE_RUN_DIR=$(mktemp -d)
	run_save 1 hlt oneshot
	run_save 1 pio periodic
	run_save 1 msr deadline
	run_save 2 pio msr oneshot
	run_save 2 hlt periodic
	run_save 2 spin deadline
	run_save_keep 2 hlt oneshot
	run_clones 20
	rm -rf "$ENLITE_RUN_DIR"
}
