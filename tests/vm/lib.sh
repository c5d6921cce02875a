# SPDX-License-Identifier: MIT
# Booting a test guest and reading what it said. Sourced inside the bed; cwd is the tree's top.

ENLITE=build/enlite
work=${BED_TMP:-${TMPDIR:-/tmp}}/enlite-vm
BOOT_ARGS="console=ttyS0 loglevel=5 panic=0 random.trust_cpu=on"

# Kernels and images are read many times: keep them in memory, next to the guests.
stage() { # flavour
	mkdir -p "$work/$1"
	local file
	for file in "build/kernels/$1/vmlinuz" "build/vm/$1/initrd" "build/vm/$1/tools.img"; do
		[ "$work/$1/$(basename "$file")" -nt "$file" ] || cp "$file" "$work/$1/"
	done
}

new_disk() { # file size
	rm -f "$1"
	truncate -s "$2" "$1"
}

# Runs a guest; its console goes to $console, our own messages to $errors; sets $status.
boot_guest() { # flavour cpus job [enlite options...]
	local flavour=$1 cpus=$2 job=$3
	shift 3
	console=$work/$flavour-$cpus-$job.console
	errors=$work/$flavour-$cpus-$job.errors
	timeout "${GUEST_TIMEOUT:-120}" $ENLITE run --kernel "$work/$flavour/vmlinuz" \
		--initrd "$work/$flavour/initrd" --append "$BOOT_ARGS enlite.job=$job" \
		--cpus "$cpus" --memory 512M \
		--disk "$work/disk.img,serial=ENLITE0001" --disk "$work/$flavour/tools.img,ro" \
		"$@" </dev/null >"$console" 2>"$errors"
	status=$?
}

# The last value the guest gave for KEY.
said() { # key
	tr -d '\r' <"$console" | sed -n "s/^@$1 //p" | tail -n 1
}

# ---- one test = one TAP line; details only when it fails ------------------------------------

begin() { # name
	test_name=$1
	failures=
}

expect() { # what actual wanted
	[ "$2" = "$3" ] || failures="$failures
$1 is '$2', want '$3'"
}

expect_match() { # what actual pattern
	[[ $2 =~ $3 ]] || failures="$failures
$1 is '$2', want $3"
}

# No warning, no Hyper-V error, no timeout, neither in dmesg nor on the console up to power off.
expect_quiet() {
	local noise
	noise=$(tr -d '\r' <"$console" | grep -vE '^@(init|kernel|done)' |
		grep -E '^@dmesg|^@fail|WARNING:|BUG:|Call Trace|hv_[a-z]+: .*([Ee]rror|fail)|I/O error|timed out|blocked for more' |
		head -n 5)
	[ -z "$noise" ] || failures="$failures
noise: $noise"
}

finish() {
	if [ -z "$failures" ]; then
		echo "ok - $test_name"
		return
	fi
	echo "not ok - $test_name"
	printf '%s\n' "$failures" | sed '/^$/d; s/^/#   /'
	{ tail -n 15 "$console"; tail -n 10 "$errors"; } | tr -d '\r' | sed 's/^/#   | /'
}
