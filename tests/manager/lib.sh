# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests/manager/run is made of: a manager in directories of its own, verdicts, VMs.

work=$(mktemp -d /tmp/enlite-mgr.XXXXXX)
memory=$(mktemp -d /dev/shm/enlite-mgr.XXXXXX) # the manager flushes all it writes
flat=$work/flat
socket=$work/socket
enlite=$work/enlite # a copy: its processes can be told from others'
log=$work/manager.log
export ENLITE_SOCKET=$socket
admin_gid=54321 read_gid=54322 groups=()

manager_setup() {
	chmod 755 "$work"
	mkdir "$flat" "$memory/run" "$memory/state"
	ln -s "$memory/run" "$memory/state" "$work"
	cp "${ENLITE:-build/enlite}" "$enlite"
	cp "${ENLITED:-build/enlited}" "$work/enlited"
	cp build/flat/{idle,counter,writer}.elf "$flat"
	cp tests/manager/api "$work/api"
	kvm=
	"$enlite" probe >/dev/null 2>&1
	[ $? -ne 2 ] || kvm="no usable /dev/kvm here"
	root=
	[ "$(id -u)" -eq 0 ] || root="needs root"
	[ -n "$root" ] || choose_groups
	start_manager
}

# Two groups of this host, whichever they are.
choose_groups() {
	local names
	read -r -a names < <(getent group daemon bin | cut -d: -f1 | tr '\n' ' ')
	groups=(--group "${names[0]}" --read-group "${names[1]}")
	admin_gid=$(getent group "${names[0]}" | cut -d: -f3)
	read_gid=$(getent group "${names[1]}" | cut -d: -f3)
}

manager_cleanup() {
	local pid
	kill -KILL "$manager" 2>/dev/null
	for pid in $(enlite_pids); do
		kill -KILL "$pid" 2>/dev/null
	done
	reflink_cleanup
	[ -z "${MANAGER_KEEP-}" ] || { echo "# kept: $work"; return; }
	rm -rf "$work" "$memory"
}

# ---- verdicts ----------------------------------------------------------------

verdict() { # name, why it failed or ""
	if [ -z "$2" ]; then
		echo "ok - manager: $1"
	else
		echo "not ok - manager: $1"
		printf '%s\n' "$2" | head -n 5 | cut -c 1-300 | sed 's/^/#   /'
		tail -n 4 "$log" | sed 's/^/#   log: /'
	fi
}

needs() { # REASON NAME: true when REASON is empty, else says that NAME was skipped
	[ -n "$1" ] || return 0
	echo "ok - manager: $2 # SKIP $1"
	return 1
}

# ---- the manager -------------------------------------------------------------

is_ready() { "$enlite" vm list >/dev/null 2>&1; }

start_manager() {
	start_command=("$work/enlited" --state-dir "$work/state" --run-dir "$work/run" --socket "$socket" "${groups[@]}")
	"${start_command[@]}" >>"$log" 2>&1 &
	manager=$!
	wait_until is_ready || echo "not ok - manager: it starts"
}

kill_manager() {
	kill -KILL "$manager"
	wait "$manager" 2>/dev/null
}

end_manager() {
	local status
	kill -TERM "$manager"
	wait "$manager"
	status=$?
	[ $status -eq 0 ] || echo "not ok - manager: it ends with status 0, not $status"
}

refused_manager() { # name, what it says, its run directory
	timeout 120 "$work/enlited" --state-dir "$work/state" --run-dir "$3" \
		--socket "$work/other" >"$work/out" 2>&1
	verdict "$1" "$([ $? -eq 1 ] && grep -q "$2" "$work/out" || cat "$work/out")"
}

# ---- VMs ---------------------------------------------------------------------

vm() { "$enlite" vm "$@" 2>>"$log"; }

define() { # name, options...
	local name=$1
	shift
	"$enlite" vm define --name "$name" --kernel "$flat/idle.elf" --memory 64M "$@" >/dev/null 2>>"$log"
}

state() { "$enlite" vm show "$1" --json 2>>"$log" | jq -r .state; }
is_state() { [ "$(state "$1")" = "$2" ]; }
state_is() { is_state "$1" "$2" || "$enlite" vm show "$1" --json 2>&1 | jq -c '[.state, .reason]'; }
is_settled() { [[ " off running critical " == *" $(state "$1") "* ]]; }
is_kept() { [[ " saved running " == *" $(state "$1") "* ]]; }
id_of() { "$enlite" vm show "$1" --json 2>>"$log" | jq -r .id; }
pid_of() { "$enlite" vm show "$1" --json 2>>"$log" | jq -r '.pid // 0'; }
born() { # name; when its worker was started, and its process
	local pid
	pid=$(pid_of "$1")
	echo "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20) $pid"
}
not_running() { [ "$(pid_of "$1")" != "$2" ]; }          # name, pid that it had
restarted() { not_running "$1" "$2" && is_state "$1" running; } # the same
console_says() { "$enlite" vm console "$1" </dev/null 2>/dev/null | grep -aq "$2"; }

config_has() { # name, jq condition on its stored configuration
	local id
	id=$("$enlite" vm show "$1" --json | jq -r .id)
	jq -e ".config | $2" "$work/state/vms/$id.json" >/dev/null || jq -c .config "$work/state/vms/$id.json"
}

# While no manager runs.
pid_of_record() { # name
	local file
	file=$(grep -l "\"name\": \"$1\"" "$work"/state/vms/*.json)
	jq -r .worker.pid "$work/run/enlite/$(basename "$file" .json).run"
}

refused() { # name, what it says, command...
	local name=$1 text=$2
	shift 2
	"$enlite" vm "$@" >"$work/out" 2>&1
	verdict "$name" "$([ $? -ne 0 ] && [ "$(wc -l <"$work/out")" = 1 ] && grep -q "$text" "$work/out" || { echo "it says:"; cat "$work/out"; })"
}

# What the worker of a VM may still do: as SECURITY.md says.
is_confined() { # name
	local status
	status=/proc/$(pid_of "$1")/status
	grep -q '^NoNewPrivs:.1' "$status" && grep -q '^Seccomp:.2' "$status" &&
		grep -q '^CapEff:.0*$' "$status" || grep -E 'NoNewPrivs|Seccomp|CapEff' "$status"
}

# ---- processes and files -----------------------------------------------------

# Those that run a VM, and whose parent is no worker: a broker's is.
workers() {
	local pid all parent
	all=" $(enlite_pids | tr '\n' ' ') "
	for pid in $all; do
		parent=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q '^enlite run' || continue
		[ -z "$parent" ] || [[ "$all" == *" $parent "* ]] || printf '%s ' "$pid"
	done
}

# Nothing of a VM: no process, no file with its ID.
leftovers() {
	wait_until no_enlite || echo "processes: $(enlite_pids)"
	find "$memory" ! -type d ! -name autostarted ! -name enlited.lock
}

torn_files() {
	local file
	for file in "$work"/state/vms/*; do
		[ ! -e "$file" ] || jq -e .config "$file" >/dev/null 2>&1 || echo "$file"
	done
}

# ---- the interface -----------------------------------------------------------

api() { "$work/api" "$socket" "$@" 2>&1; }

says_status() { # status, method, path, body
	local wanted=$1 said
	shift
	said=$(api call "$@")
	[ "${said%% *}" = "$wanted" ] || echo "$said"
}

same_is() { # statuses, request...
	local said wanted=$1
	shift
	said=$(api same 8 "$@")
	[ "$said" = "$wanted" ] || echo "$said"
}

each_is() { # STATUS:COUNT, count, request...
	local said wanted=$1
	shift
	said=$(api each "$@" | sed 's/\([0-9]*\):\([0-9]*\)/\2:\1/g')
	[ "$said" = "$wanted" ] || echo "$said"
}

descriptors() { find "/proc/$manager/fd" -mindepth 1 | wc -l; }
has_descriptors() { [ "$(descriptors)" -le "$1" ]; } # how many
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$manager/status"; } # KiB

# As many connections as a user may have, of one who may only read.
beside_a_reader() {
	local open
	coproc holder { as 65534 "$read_gid" api hold 200; }
	read -r open <&"${holder[0]}"
	[ "$open" = "64 open" ] || echo "$open"
	says_status 200 GET /vms
	eval "exec ${holder[1]}>&-"
	wait
}

all_off() { [ "$(api call GET /vms | grep -o '"state":"off"' | wc -l)" = "$1" ]; } # how many VMs
runs() { [ "$(api call GET /vms | grep -o '"pid"' | wc -l)" = "$1" ]; } # how many VMs

# Runs a function of ours as another user.
as() { # uid, gid, function, arguments...
	local uid=$1 gid=$2
	shift 2
	api() { setpriv --reuid="$uid" --regid="$gid" --clear-groups perl "$work/api" "$socket" "$@" 2>&1; }
	"$@"
	api() { "$work/api" "$socket" "$@" 2>&1; }
}

check_events() {
	api events 3 PUT /vms/twin/state '{"request":"pause"}' >"$work/events"
	grep -q '"state":"paused"' "$work/events" || cat "$work/events"
	grep '^id' "$work/events" | cut -d' ' -f2 | sort -n -c 2>&1
	vm resume twin
}
