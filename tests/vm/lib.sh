# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Booting a test guest, acting when it asks, and reading what it said. Sourced inside the bed; cwd is
# the tree's top.

ENLITE=${ENLITE:-build/enlite}
work=${BED_TMP:-${TMPDIR:-/tmp}}/enlite-vm
BOOT_ARGS="console=ttyS0 loglevel=5 panic=0 random.trust_cpu=on"
export ENLITE_RUN_DIR=$work/run
VM_PATIENCE=${VM_PATIENCE:-5}

# What a parameter is in `make vm` and in `make vm-long`.
by_length() { # short long
	if [ -n "${VM_LONG:-}" ]; then echo "$2"; else echo "$1"; fi
}

# Kernels and images are read many times: keep them in memory, next to the guests.
stage() { # flavour [images of it...]
	local flavour=$1 file
	shift
	[ $# -gt 0 ] || set -- initrd tools.img
	mkdir -p "$work/$flavour" "$ENLITE_RUN_DIR"
	for file in "build/kernels/$flavour/vmlinuz" "${@/#/build/vm/$flavour/}"; do
		[ "$work/$flavour/$(basename "$file")" -nt "$file" ] || cp "$file" "$work/$flavour/"
	done
}

new_disk() { # file size
	rm -f "$1"
	truncate -s "$2" "$1"
}

# Runs a guest named "vm", or $guest_name, with LUN 0 ($disk, default a file) and LUN 1 (tools); its
# console goes to $console, our own messages to $errors; sets $status, 124 when it took longer than
# $guest_timeout seconds, times VM_PATIENCE, which is for a busy machine. $guest_set is for the guest's script.
boot_guest() { # flavour cpus job [enlite options...]
	local flavour=$1 cpus=$2 job=$3 line pid read_status=0
	local deadline=$((SECONDS + ${guest_timeout:-300} * VM_PATIENCE))
	shift 3
	console=$work/$flavour-$cpus-$job.console
	errors=$work/$flavour-$cpus-$job.errors
	: >"$console"
	coproc GUEST {
		exec $ENLITE run --name "${guest_name:-vm}" --kernel "$work/$flavour/vmlinuz" \
			--initrd "$work/$flavour/initrd" --cpus "$cpus" --memory "${guest_memory:-512M}" \
			--append "$BOOT_ARGS enlite.job=$job enlite.drivers=${VM_DRIVERS:-} enlite.bus=${VM_BUS:-} enlite.set=${guest_set:-}" \
			--disk "${disk:-$work/disk.img,serial=ENLITE0001}" \
			--disk "$work/$flavour/tools.img,ro" "$@" 2>"$errors"
	}
	pid=$GUEST_PID
	exec 7<&"${GUEST[0]}" 8>&"${GUEST[1]}"
	while [ $SECONDS -lt $deadline ]; do
		read -r -t $((deadline - SECONDS)) line <&7
		read_status=$?
		[ $read_status -eq 0 ] || break
		line=${line%$'\r'}
		printf '%s\n' "$line" >>"$console"
		[ -z "${VM_SHOW:-}" ] || printf '%s: %s\n' "${guest_name:-vm}" "$line" >&2
		case $line in
		@checkpoint\ *) at_checkpoint ${line#@checkpoint } >&8 ;;
		esac
	done
	exec 7<&- 8>&-
	if [ $SECONDS -ge $deadline ] || [ $read_status -gt 128 ]; then
		end_late_guest "$pid"
	else
		wait "$pid"
		status=$?
	fi
}

# What is still in flight shows what it hung on; VPs that leave the guest, that it is only slow.
end_late_guest() { # pid
	status=124
	{
		ctl stats --json | jq -c 'walk(if type == "object" then del(.latency) else . end) | .devices[]'
		for _ in 1 2; do
			ctl inspect --json | jq -c '{state, serial, exits, vps: [.vps[].exits.total]}'
			sleep 1
		done
	} >>"$errors" 2>&1
	kill -TERM "$1"
	timeout 10 tail --pid="$1" -f /dev/null
	kill -KILL "$1" 2>/dev/null
	wait "$1"
}

# The subject's own part, checkpoint_NAME, prints the answer, if the guest wants one.
at_checkpoint() { # name [arguments...]
	local answer=
	if declare -F "checkpoint_$1" >/dev/null; then
		answer=$("checkpoint_$1" "${@:2}" 2>>"$errors" 7<&- 8>&-)
	fi
	printf '%s\n' "$answer"
}

ctl() { # command...
	$ENLITE ctl vm "$@"
}

# The last value the guest gave for KEY.
said() { # key
	sed -n "s/^@$1 //p" "$console" | tail -n 1
}

# ---- tests: a TAP line each, one for each check of the guest -----------------

begin() { # name
	test_name=$1
	test_began=$SECONDS
	failures=
	disk='' guest_set='' guest_memory='' guest_timeout=''
}

expect() { # what actual wanted
	[ "$2" = "$3" ] || failures="$failures
$1 is '$2', want '$3'"
}

expect_match() { # what actual pattern
	[[ $2 =~ $3 ]] || failures="$failures
$1 is '$2', want $3"
}

expect_true() { # what, command...
	"${@:2}" || failures="$failures
$1: not so"
}

# No warning, no Hyper-V error, no timeout, neither in dmesg nor on the console up to power off.
expect_quiet() {
	local noise
	noise=$(grep -vE '^@(init|kernel|done|ok|not_ok)|module verification failed' "$console" |
		grep -E '^@dmesg|^@fail|WARNING:|BUG:|Call Trace|hv_[a-z]+: .*([Ee]rror|fail)|I/O error|timed out|blocked for more' |
		head -n 5)
	[ -z "$noise" ] || failures="$failures
noise: $noise"
}

# Most guests: did what it should, said nothing alarming, powered off.
expect_good_end() { # job
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" "$1"
	expect_quiet
}

guest_checks() {
	sed -n "s|^@ok |ok - $test_name: |p; s|^@not_ok |not ok - $test_name: |p" "$console"
}

finish() {
	echo "# $test_name: $((SECONDS - test_began)) s"
	guest_checks
	if [ -z "$failures" ]; then
		echo "ok - $test_name"
		return
	fi
	echo "not ok - $test_name"
	printf '%s\n' "$failures" | sed '/^$/d; s/^/#   /'
	{ grep -vE '^@(ok|not_ok) ' "$console" | tail -n 15; tail -n 24 "$errors"; } | sed 's/^/#   | /'
}
