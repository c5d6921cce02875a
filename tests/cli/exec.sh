# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# `enlite exec` and `shell` with the agent, both here: what is between them is a socket that follows
# the convention of --vsock.

# The agent's side of a connection.
write_guest() { # what goes on there
	cat >"$work/guest" <<-END
		#!/bin/bash
		read -r word port
		[ "\$word \$port" = "CONNECT 1021" ] || exit
		$1
	END
	chmod +x "$work/guest"
}

start_guest() {
	write_guest "$1"
	socat UNIX-LISTEN:"$work/vsock",fork,backlog=64 EXEC:"$work/guest" 2>/dev/null &
	guest_socket_pid=$!
	wait_until listens "$work/vsock"
}

end_guest() {
	kill "$guest_socket_pid"
	wait "$guest_socket_pid" 2>/dev/null
	rm -f "$work/vsock"
}

in_guest() { timeout $limit "$enlite" exec --vsock "$work/vsock" "$@" 2>"$work/err"; }

# is NAME WANTED COMMAND...: its output
is() {
	local name=$1 wanted=$2 got
	shift 2
	got=$("$@")
	[ "$got" = "$wanted" ] && got="" || got="got '$got'"
	verdict "exec: $name" "$got" "$work/err"
}

# status NAME WANTED COMMAND...
status() {
	local name=$1 wanted=$2 got
	shift 2
	"$@" >"$work/out"
	got=$?
	[ $got = "$wanted" ] && got="" || got="status $got, not $wanted"
	verdict "exec: $name" "$got" "$work/err"
}

there_and_back() {
	head -c 5000000 /dev/urandom >"$work/data"
	in_guest -- cat <"$work/data" | cmp - "$work/data" && echo same
}

only_errors() { in_guest -- sh -c 'echo out; echo error >&2' </dev/null >/dev/null && cat "$work/err"; }
many_at_once() {
	local i
	for i in {1..20}; do
		in_guest -- echo "$i" </dev/null &
	done | sort -n | tr '\n' ' '
}

# The command ends with its client, however that ends.
hangs_up() { # signal
	in_guest -- sh -c "echo \$\$ >$work/pid; exec sleep 1000" </dev/null 2>/dev/null &
	wait_until test -s "$work/pid"
	pkill -"$1" -f "exec --vsock $work/vsock"
	wait $! 2>/dev/null
	wait_until not_running "$(<"$work/pid")" && echo ended
	rm "$work/pid"
}

not_running() { ! kill -0 "$1" 2>/dev/null; }

nobody_reads() { in_guest -- yes </dev/null | head -n 1; }

# A line is typed, the size of the terminal is ours.
on_a_terminal() {
	printf 'typed\n' | script -qefc "stty rows 33 cols 99; $enlite exec --tty --vsock $work/vsock -- \
		sh -c 'tty -s && stty size; read -r x; echo \"<\$x>\"; exit 5'" /dev/null | tr -d '\r' | grep -v typed$
	echo "${PIPESTATUS[1]}"
}

test_exec_usage() {
	bad "exec: no arguments" $USAGE "exec: usage: enlite exec NAME" "$enlite" exec
	bad "exec: no command" $USAGE "the command is missing" "$enlite" exec nosuch
	bad "exec: an unknown option" $USAGE "exec: '-x' is not expected" "$enlite" exec nosuch -x -- true
	bad "exec: a VM and a socket" $USAGE "exec: usage" "$enlite" exec nosuch --vsock a -- true
	bad "exec: no VM of this name" 125 "no VM named nosuch" "$enlite" exec nosuch -- true
	bad "exec: no socket" 125 "/nosuch: No such file.*--vsock" "$enlite" exec --vsock /nosuch -- true
	bad "shell: no arguments" $USAGE "shell: usage: enlite shell NAME" "$enlite" shell
	bad "shell: a command" $USAGE "shell: takes no command" "$enlite" shell nosuch -- true
}

test_exec_vm() {
	needs "$kvm" "exec: a VM without sockets" || return
	start idle --ic none --name no-sockets
	bad_running "exec: a VM without sockets" 125 "no-sockets: the VM has no sockets; start it with --vsock" \
		"$enlite" exec no-sockets -- true
	kill -TERM "$guest_pid"
	ends "exec: that VM ends" 143
}

test_exec() {
	start_guest "echo OK 77; exec $PWD/build/enlite-agent --stdio"
	is "what it prints" "hello there" in_guest -- echo "hello there"
	is "bytes there and back" same there_and_back
	is "its errors are errors here" error only_errors
	is "many at once" "$(seq -s ' ' 20) " many_at_once
	status "its status" 7 in_guest -- sh -c 'exit 7'
	status "the signal that killed it" 137 in_guest -- sh -c 'kill -9 $$'
	status "input that it does not read" 0 in_guest -- true < <(yes)
	bad "exec: no such command" 127 "exec: no-such: No such file.*in the guest" \
		"$enlite" exec --vsock "$work/vsock" -- no-such
	bad "exec: not a command" 126 "exec: /etc/passwd: Permission denied, in the guest" \
		"$enlite" exec --vsock "$work/vsock" -- /etc/passwd
	is "SIGINT reaches it" ended hangs_up INT
	is "it ends with its client" ended hangs_up KILL
	is "nobody reads" y nobody_reads
	bad "exec: no room for what it prints" 125 "what the command says cannot be written: No space left" \
		bash -c "'$enlite' exec --vsock '$work/vsock' -- echo hello >/dev/full"
	is "on a terminal" "33 99
<typed>
5" on_a_terminal
	end_guest
	start_guest "echo OK 1"
	bad "exec: the agent ends" 125 "the connection ended before the command did" \
		"$enlite" exec --vsock "$work/vsock" -- true
	end_guest
	start_guest true
	bad "exec: no agent" 125 "nobody answers at port 1021 of the guest.*enlite-agent" \
		"$enlite" exec --vsock "$work/vsock" -- true
	end_guest
}
