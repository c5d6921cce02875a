# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# AF_VSOCK: programs of the host and sockets of the guest, through socat on both sides.

vsock=$work/vsock

# What comes in is summed up; the answer goes back after the guest has ended its half.
start_summing() { # port
	socat -t 120 "UNIX-LISTEN:${vsock}_$1,fork" "EXEC:sha256sum" 2>>"$work/socat.log" &
	summing=$!
}

end_summing() {
	kill $summing
	wait $summing 2>/dev/null
	rm -f "$vsock"_*
}

# Prints what the guest's server answers, without the OK line; not 0: there is none.
ask_guest() { # port <data
	local answer status=0
	answer=$(mktemp "$work/answer.XXXXXX")
	{ printf 'CONNECT %s\n' "$1"; cat; } | socat -t 120 - "UNIX-CONNECT:$vsock" >"$answer" 2>>"$work/socat.log"
	head -n 1 "$answer" | grep -qa '^OK [0-9]*$' || status=1
	tail -n +2 "$answer"
	rm "$answer"
	return $status
}

checkpoint_vsock_to_guest() {
	head -c "$vsock_bytes" /dev/urandom >"$work/data"
	ask_guest 7001 <"$work/data" | cut -c1-64 >"$work/sum"
}

connect_many() { # how many
	local i
	for ((i = 0; i < $1; i++)); do
		[ "$(echo "hello $i" | ask_guest 7002)" = "hello $i" ] || echo "connection $i"
	done
}

# One after the other, and some at once.
checkpoint_vsock_many() {
	local i clients=()
	connect_many "$vsock_connections" >"$work/failed"
	for ((i = 0; i < vsock_clients; i++)); do
		connect_many 4 >>"$work/failed" &
		clients+=($!)
	done
	wait "${clients[@]}"
}

# Data in both directions, while the VM is paused again and again.
checkpoint_vsock_pause() {
	local i stream
	head -c "$((vsock_bytes / 4))" "$work/data" | ask_guest 7002 >"$work/echo" &
	stream=$!
	for ((i = 0; i < 10; i++)); do
		{ ctl pause && ctl resume; } >>"$work/pauses" 2>&1 || echo "pause $i" >>"$work/failed"
		sleep 0.1
	done
	wait $stream
}

run_in_guest() { "$ENLITE" exec vm -- "$@"; }

agent_answers() { run_in_guest true </dev/null; }

# Commands in the guest, one with data in both directions while the VM is paused again and again.
checkpoint_vsock_exec() {
	local stream i tries=0
	until agent_answers 2>"$work/agent_error" || [ $((tries += 1)) -gt 600 ]; do
		sleep 0.2
	done
	{
		run_in_guest uname -r
		run_in_guest sh -c 'cat; exit 3' <<<"input"
		echo "status $?"
	} >"$work/exec" 2>&1 </dev/null
	head -c "$((vsock_bytes / 4))" "$work/data" | run_in_guest cat >"$work/exec_echo" &
	stream=$!
	for ((i = 0; i < 5; i++)); do
		{ ctl pause && ctl resume; } >>"$work/pauses" 2>&1 || echo "pause $i" >>"$work/failed"
		sleep 0.1
	done
	wait $stream
}

same_exec_echo() { cmp -s "$work/sent" "$work/exec_echo"; }

same_echo() {
	head -c "$((vsock_bytes / 4))" "$work/data" >"$work/sent"
	cmp -s "$work/sent" "$work/echo"
}

test_vsock() { # flavour cpus
	begin "vm/$1, $2 VP: vsock"
	vsock_bytes=$(by_length 4194304 1073741824)
	vsock_connections=$(by_length 20 1000)
	vsock_clients=$(by_length 8 64)
	new_disk "$work/disk.img" 128M
	guest_memory=$(by_length 512M 3G)
	guest_timeout=$(by_length 300 3600)
	guest_set="bytes=$vsock_bytes,reloads=$(by_length 0 1)"
	rm -f "$vsock" "$work/failed" "$work/echo" "$work/pauses" "$work/exec"*
	start_summing 7000
	boot_guest "$1" "$2" vsock --vsock "$vsock"
	end_summing
	expect "the sum of what the guest received" "$(cat "$work/sum")" "$(sha256sum <"$work/data" | cut -c1-64)"
	expect "connections that failed" "$(cat "$work/failed")" ""
	expect_true "an echo through pauses" same_echo
	expect "what commands in the guest said" "$(cat "$work/exec")" "$(printf '%s\n' "$(said kernel)" input "status 3")"
	expect_true "an echo of a command through pauses" same_exec_echo
	expect_good_end vsock
	finish
}
