# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Integration services with stock guests and Debian's daemons.

# What the host side finds, one TAP line each, into the file that test_ic prints.
note() { # name, actual, wanted
	if [ "$2" = "$3" ]; then
		echo "ok - $test_name: $1"
	else
		echo "not ok - $test_name: $1: '$2', want '$3'"
	fi >>"$work/notes"
}

note_match() { # name, actual, pattern
	if [[ $2 =~ $3 ]]; then note "$1" "" ""; else note "$1" "$2" "$3"; fi
}

heartbeat() { ctl status --json | jq -r .heartbeat; }

# Bounded; each try asks the VM.
until_is() { # seconds, wanted, command...
	local end=$((SECONDS + $1 * VM_PATIENCE)) wanted=$2
	shift 2
	until [ "$("$@" 2>&1)" = "$wanted" ]; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

checkpoint_ic_status() {
	until_is 60 ok heartbeat
	note "heartbeat" "$(heartbeat)" ok
	note "services" "$(ctl status --json | jq -r '.services[] | select(.state == "ready") | .service' | tr '\n' ' ')" \
		"heartbeat shutdown timesync kvp vss $([[ $test_name == *6.1-* ]] && echo 'copy ')"
}

# ---- time --------------------------------------------------------------------

checkpoint_ic_pause() {
	ctl pause >/dev/null && ctl resume >/dev/null
	date +%s
}

syncs() { ctl inspect devices --json | jq '[.[] | select(.id == "timesync")][0].channels[0].syncs'; }

# Only the clock of a nested bed is ours to set. Not by $SECONDS, which follows it.
step_clock() { # seconds
	local before tries=0
	before=$(syncs)
	date -s "@$(($(date +%s) + $1))" >/dev/null
	while [ "$(syncs)" -le "$before" ] && [ $((tries += 1)) -lt 1200 ]; do sleep 0.2; done
	sleep 3 # the guest notes its clock meanwhile
}

checkpoint_ic_step() {
	if [ "$BED_PLACE" != nested ]; then
		echo "ok - $test_name: a step of the host's clock # SKIP not the clock of this machine" >>"$work/notes"
		echo skipped
		return
	fi
	step_clock 86400
	step_clock -86400
	date +%s
}

# ---- key-value pairs ---------------------------------------------------------

of_length() { # letter, count
	printf "%$2s" | tr ' ' "$1"
}

checkpoint_ic_kvp() {
	local text="Grüße, Ωmega, 漢字, 🎉"
	note "the guest's system" "$(ctl kvp get OSName --pool auto)" Linux
	note "the guest's pool" "$(ctl kvp get Progress)" "cloud-init: 50%"
	note "set" "$(ctl kvp set Greeting "$text" 2>&1)" "{}"
	note "read back" "$(ctl kvp get Greeting --json 2>&1 | jq -r .value)" "$text"
	note "the longest" "$(ctl kvp set "$(of_length k 254)" "$(of_length v 1022)" 2>&1)" "{}"
	note "read back" "$(ctl kvp get "$(of_length k 254)" 2>&1)" "$(of_length v 1022)"
	note_match "too long" "$(ctl kvp set "$(of_length k 256)" x 2>&1)" "key: longer than 255"
	ctl kvp set Gone x >/dev/null
	note "removed" "$(ctl kvp remove Gone 2>&1)" "{}"
	note_match "removed twice" "$(ctl kvp remove Gone 2>&1)" "there is no such key"
	note "list" "$(ctl kvp list --pool external --json | jq '.pairs | length')" 2
}

# A character of each block of 256, 300 in a value: the guest's daemon has room for 2,048 bytes of UTF-8.
every_block() {
	jq -nr '[range(65; 1114112; 256) | select(. < 55296 or . > 57343)] as $all |
		range(0; $all | length; 300) as $at | $all[$at:$at + 300] | implode'
}

many_pairs() {
	local i value
	i=0
	while read -r value; do
		printf '%s\t%s\n' "$(of_length K 250)$((i += 1))" "$value"
	done < <(every_block)
	while [ $((i += 1)) -le "$ic_pairs" ]; do
		printf '%s\t%s\n' "$(of_length k 250)$((1000 + i))" "$(of_length v 1018)$((1000 + i))"
	done
}

checkpoint_ic_many() {
	local key value failed=
	many_pairs >"$work/pairs"
	while IFS=$'\t' read -r key value; do
		ctl kvp set "$key" "$value" --pool auto-internal >/dev/null 2>>"$errors" </dev/null || failed+=" ${key: -4}"
	done <"$work/pairs"
	note "$(wc -l <"$work/pairs") pairs are set" "$failed" ""
	ctl kvp list --pool auto-internal --json | jq -r '.pairs[] | "\(.key)\t\(.value)"' >"$work/pairs.back"
	note "and read back, with characters of every block" "$(cmp "$work/pairs" "$work/pairs.back" 2>&1)" ""
}

checkpoint_ic_no_daemon() {
	note_match "no daemon" "$(ctl kvp set After all 2>&1)" "did not answer in time; does it run hv_kvp_daemon"
}

# The request that timed out was in the ring: the new daemon takes it.
checkpoint_ic_daemon_again() {
	until_is 60 all ctl kvp get After
	note "a daemon again" "$(ctl kvp get After 2>&1)" all
}

checkpoint_ic_address() {
	note_match "addresses" "$(ctl ip show 0 --json 2>&1)" '"address":"10\.1\.2\.3;'
	note_match "addresses cannot be set on Debian" "$(ctl ip set 0 --address 10.1.2.4 --subnet 255.255.255.0 2>&1)" \
		"could not do it"
	note_match "no such NIC" "$(ctl ip show 3 2>&1)" "no NIC 3"
}

# ---- freezing ----------------------------------------------------------------

checkpoint_ic_freeze() {
	note "the command's status" "$($ENLITE freeze vm --timeout 300 -- sh -c "
		cp --sparse=always '$work/disk.img' '$work/one.img'; sleep 2
		cmp '$work/disk.img' '$work/one.img' && exit 7" 2>&1; echo $?)" 7
	note "the copy is a clean file system" "$(e2fsck -fn "$work/one.img" >"$work/fsck" 2>&1; echo $?)" 0
	note_match "not frozen any more" "$(ctl thaw 2>&1)" "not frozen"
	rm -f "$work/one.img"
}

checkpoint_ic_freeze_limit() {
	note_match "a command that takes too long" "$($ENLITE freeze vm --timeout 20 -- sh -c "
		while $ENLITE ctl vm status --json | grep -q '\"frozen\"'; do sleep 0.2; done" 2>&1; echo $?)" \
		"time of the freeze was up.*1$"
	until_is 60 idle vss_state
}

vss_state() { ctl status --json | jq -r '.services[] | select(.service == "vss") | .detail'; }

checkpoint_ic_freeze_hold() {
	note "freeze" "$(ctl freeze --timeout 300 2>&1)" "{}"
	note "state" "$(vss_state)" frozen
}

checkpoint_ic_thaw_fails() {
	note_match "thaw without a daemon" "$(ctl thaw 2>&1)" "does it run hv_vss_daemon"
	note "state" "$(vss_state)" thawing
}

# ---- idle --------------------------------------------------------------------

# How often the threads that serve the guest were woken so far.
wake_ups() {
	local pid
	pid=$(pgrep -o -f "enlite run --name vm ")
	for task in /proc/"$pid"/task/*; do
		case $(cat "$task/comm") in
		vp*) ;;
		*) sed -n 's/^voluntary_ctxt_switches:\t//p' "$task/status" ;;
		esac
	done | awk '{ sum += $1 } END { print sum }'
}

checkpoint_ic_idle() { # with|without
	local before
	before=$(wake_ups)
	sleep 30
	echo $((($(wake_ups) - before) * 10 / 30)) >"$work/wake_ups.$1"
}

# Tenths of a wake-up in a second.
report_wake_ups() {
	local with without
	[ -e "$work/wake_ups.without" ] || return
	with=$(cat "$work/wake_ups.with") without=$(cat "$work/wake_ups.without")
	echo "# $test_name: wake-ups of control and I/O threads in 10 s: $with with the services, $without without"
	expect_true "no more than 2 wake-ups in a second" test $((with - without)) -le 20
	rm "$work"/wake_ups.*
}

# ---- files -------------------------------------------------------------------

checkpoint_ic_copy() {
	local size
	mkdir -p "$work/files"
	rm -f "$work"/files/*
	until_is 60 ready copy_state
	for size in 0 1 4095 4096 4097 $(by_length 3000000 52428800); do
		head -c "$size" /dev/urandom >"$work/files/file-$size"
		note "a file of $size bytes" "$($ENLITE cp "$work/files/file-$size" vm:/tmp/got/ 2>&1)" ""
	done
	note_match "a file that exists" "$($ENLITE cp "$work/files/file-1" vm:/tmp/got/ 2>&1)" "exists already"
	note "--force" "$($ENLITE cp --force "$work/files/file-1" vm:/tmp/got/ 2>&1)" ""
	note "no directory" "$($ENLITE cp "$work/files/file-1" vm:/tmp/none/x >/dev/null 2>&1; echo $?)" 1
	(cd "$work/files" && sha256sum ./* | sed 's|\./||' | sha256sum | cut -c1-16)
}

copy_state() { ctl status --json | jq -r '.services[] | select(.service == "copy") | .state'; }

# ---- the driver again --------------------------------------------------------

checkpoint_ic_without_driver() {
	until_is 60 "no contact" heartbeat
	note "without the driver" "$(heartbeat)" "no contact"
	note_match "a request without the driver" "$(ctl kvp list 2>&1)" "has not opened it"
}

checkpoint_ic_with_driver() {
	until_is 60 ok heartbeat
	note "with the driver again" "$(heartbeat)" ok
}

ic_parts="start+time+pairs+many+addresses+freeze+files+reload+idle"

test_ic() { # flavour cpus [parts]
	begin "vm/$1, $2 VP: integration services"
	new_disk "$work/disk.img" 64M
	: >"$work/notes"
	guest_timeout=$(by_length 1500 6000)
	ic_pairs=$(by_length 60 1000)
	guest_set="parts=${3:-$ic_parts}"
	boot_guest "$1" "$2" ic --ic all --net "null,mac=00:15:5d:01:02:03"
	cat "$work/notes"
	sed -n "s/^@skipped \(.*\): \(.*\)/ok - vm\/$1: \1 # SKIP \2/p" "$console"
	sed -n "s/^@uio_kib /# $1: KiB that uio_hv_generic takes: /p" "$console"
	report_wake_ups
	expect_good_end ic
	finish
}

# ---- the end -----------------------------------------------------------------

# First reboots, then a power off, each answered when it has happened.
checkpoint_ic_end() {
	if [ "$(ctl status --json | jq .boots)" -le "$end_reboots" ]; then
		ctl shutdown --reboot --timeout 120 >>"$work/reboot.answer" 2>&1 &
	else
		ctl shutdown --timeout 120 >"$work/poweroff.answer" 2>&1 &
	fi
}

# The command that asked prints its answer when enlite has ended; two minutes at most.
wait_for_answers() {
	local tries
	for ((tries = 0; tries < 1200; tries++)); do
		[ ! -s "$work/poweroff.answer" ] || return 0
		sleep 0.1
	done
}

times() { # count, text
	local i
	for ((i = 0; i < $1; i++)); do
		printf '%s' "$2"
	done
}

boot_to_its_end() { # flavour cpus
	rm -f "$work"/*.answer
	: >"$work/reboot.answer"
	boot_guest "$1" "$2" ic_end
	wait_for_answers
	expect "exit status" "$status" 0
	expect "what the guest was asked" "$(sed -n 's/^@asked //p' "$console" | tr '\n' ' ')" \
		"$(times "$end_reboots" "reboot ")poweroff "
	expect "answers to reboots" "$(tr -d '\n' <"$work/reboot.answer")" "$(times "$end_reboots" '{"guest":"reset"}')"
	expect "answer to the power off" "$(cat "$work/poweroff.answer")" '{"guest":"power off"}'
}

# In the long form as many power offs as reboots.
test_ic_end() { # flavour cpus
	local end_reboots i count
	count=$(by_length 1 20)
	begin "vm/$1, $2 VP: reboot and power off, asked for, $count of each"
	new_disk "$work/disk.img" 64M
	guest_timeout=$((900 * count))
	end_reboots=$count
	boot_to_its_end "$1" "$2"
	end_reboots=0
	for ((i = 1; i < count; i++)); do
		boot_to_its_end "$1" "$2"
	done
	finish
}
