# SPDX-License-Identifier: MIT
# Guest side: AF_VSOCK. Programs of the host are at CID 2.

sock() { with_tools socat "$@" </dev/null 2>>/tmp/socat; }

# A server for the host: what a connection sends goes to a command, its output back. Its standard
# input is a pipe: it must not read the console. Of a burst of connections none may be refused.
serve() { # port command
	with_tools socat -d -d -t 120 "VSOCK-LISTEN:$1,fork,reuseaddr,backlog=128" "EXEC:$2" \
		</dev/null 2>"/tmp/socat.$1" &
	wait_until "a server listens at port $1" grep -qs 'listening on' "/tmp/socat.$1"
}

# A command with the result of the host's `sha256sum` as its answer.
send_to_host() { # port
	with_tools socat -t 120 "FILE:/tmp/data!!STDOUT" "VSOCK-CONNECT:2:$1" 2>>/tmp/socat | cut -c1-64
}

checksum() { with_tools sha256sum /tmp/data | cut -c1-64; }

# The host runs commands here, and pauses the VM meanwhile.
serve_commands() {
	enlite-agent </dev/null 2>/tmp/agent &
	agent=$!
	checkpoint vsock_exec
	kill $agent
	is "the agent said nothing" "$(cat /tmp/agent)" ""
}

reload_hv_sock() {
	rmmod hv_sock 2>/dev/null && load hv_sock
}

no_servers() { ! pidof socat >/dev/null; }

again_after_reload() {
	killall socat
	wait_until "the servers end" no_servers || return
	wait_until "hv_sock is unloaded and loaded again" reload_hv_sock || return
	is "a file to the host, with the module loaded again" "$(send_to_host 7000)" "$(checksum)"
}

job_vsock() {
	find_disks || return
	load hv_sock
	dd if=/dev/urandom of=/tools/tmp/data bs=64k count=$((bytes / 65536)) 2>/dev/null
	is "a file to the host" "$(send_to_host 7000)" "$(checksum)"
	say sum "$(checksum)"
	serve 7001 sha256sum
	serve 7002 cat
	checkpoint vsock_to_guest
	checkpoint vsock_many
	sock - "VSOCK-CONNECT:2:9999,connect-timeout=20"
	is "nobody listens" $? 1
	checkpoint vsock_pause
	serve_commands
	[ "${reloads:-0}" = 0 ] || again_after_reload
	dmesg_findings
}
