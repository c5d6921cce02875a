# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Guests of several hosts where stock kernels can run: boots one per peer, keeps them all, and has them
# run each cell in turn. What is seen is added to RAW after each round, as JSON objects, one per line: the
# bed itself may be lost. Sourced by the `inside` of each bench, which sets $bench, has sourced its
# peers.sh, and defines
#
#   make_inputs               what all peers need
#   peer_inputs INDEX         what one needs, in $work/peerINDEX
#   peer_host INDEX BINARY APPEND   sets the array `command`; BINARY is "" for QEMU
#   guest_settings INDEX      prints what the guest's script gets by enlite.set
#   cell_request CELL         prints the line that has the guest run it
#   read_cell WORD...         sets $figures, JSON members, from the guest's answer; not 0: it is wrong
#   more_facts                prints a JSON object for the report's settings
#
# The guest's job is named like the bench. It says "@checkpoint next", is told a cell, and says @begin and
# @end inside its run, then "@cell 0 FIGURE..."; told "off", it ends.

# With $neighbour there is one guest more, which does nothing but use its VP (bench/lib/guest.sh):
# how much of a CPU it gets meanwhile is what the others cost it.

raw=$1 first_round=$2
: "${rounds:?}" "${seconds:?}" "${vps:?}" "${memory:?}" "${flavour:?}" "${cells:?}" "${guest_modules?}"
read -ra peers <<<"${peers:?}"
enlite_args=${enlite_args:-}
neighbour=${neighbour:-}
# Peers are 0 and up. $names are theirs, and that of the neighbour.
neighbour_index=$((${#peers[@]} + 1))
names=("${peers[@]}")
names[neighbour_index]=neighbour
boot_seconds=180
boot_tries=3
idle_seconds=5
kvm_debug=/sys/kernel/debug/kvm
pids=() vms=() from=() to=() helpers=()

note() { echo "bench-$bench: $SECONDS s: $*" >&2; }

die() {
	note "$*"
	exit 1
}

stop_guests() {
	local pid
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$work"
}

put() { # one JSON object
	printf '%s\n' "$1" >>"$work/raw"
}

# Hands over what was put down since the last time.
deliver() {
	{ cat "$work/raw" >>"$raw" && sync "$raw"; } || die "$raw cannot be written"
	: >"$work/raw"
}

put_problem() { # index what
	put "$(jq -nc --arg problem "${names[$1]}: $2" '$ARGS.named')"
}

# ---- talking with a guest ----------------------------------------------------

show_end() { # index
	{ tail -n 8 "$work/peer$1/console"; tail -n 5 "$work/peer$1/errors"; } | sed "s/^/bench-$bench: | /" >&2
}

# Sets $heard to the guest's next line that starts with @; "" and not 0 when it ended or is late.
hear() { # index seconds
	local line deadline=$((SECONDS + $2))
	heard=
	while [ $SECONDS -lt $deadline ]; do
		read -r -t $((deadline - SECONDS)) line <&"${from[$1]}" || return
		line=${line%$'\r'}
		printf '%s\n' "$line" >>"$work/peer$1/console"
		[[ $line != @* ]] || { heard=$line; return; }
	done
	return 1
}

# Not 0, and says why, when the guest says something else, nothing, or died.
expect_line() { # index pattern seconds during
	hear "$1" "$3"
	# shellcheck disable=SC2053 # a pattern
	[[ $heard == $2 ]] && return
	show_end "$1"
	if [ -d "/proc/${pids[$1]}" ]; then
		note "${names[$1]}: '${heard:-nothing in $3 s}' during $4, want '$2'"
	else
		note "${names[$1]}: the guest died during $4"
	fi
	return 1
}

tell() { # index text
	printf '%s\n' "$2" >&"${to[$1]}"
}

# ---- starting and ending guests ----------------------------------------------

# The directory has a process id of the outermost namespace in its name, unknown here: it is
# recognised as the new one.
find_vm() { # index, directories there were before
	local dir found=()
	for dir in "$kvm_debug"/*-*/; do
		[[ " $2 " == *" $dir "* || ! -f $dir/exits ]] || found+=("$dir")
	done
	[ ${#found[@]} -eq 1 ] || { note "${names[$1]}: ${#found[@]} new virtual machines in $kvm_debug"; return 1; }
	vms[$1]=${found[0]}
}

# Ours is copied: the program must not be read through the bed's file system while it is measured.
peer_command() { # index append
	local peer=${peers[$1]} dir=$work/peer$1 binary
	split_peer "$peer"
	if [ "$(peer_kind "$peer")" = enlite ]; then
		binary=$(peer_binary "$peer")
		cp "${binary:-$ENLITE}" "$dir/enlite" || die "$peer: cannot be copied"
		peer_host "$1" "$dir/enlite" "$2"
	else
		peer_host "$1" "" "$2"
	fi
}

neighbour_command() { # append
	local peer_options=() vps=1 memory=128 enlite_args=
	cp "$ENLITE" "$work/neighbour"
	enlite_base_command "${bench}-neighbour" "$work/neighbour" "$kernel" "$initrd" "$1"
}

# Sets the array `command`.
guest_command() { # index
	local append="$BOOT_ARGS quiet"
	if [ "$1" = "$neighbour_index" ]; then
		neighbour_command "$append enlite.job=neighbour"
	else
		peer_inputs "$1"
		append+="$(driver_arguments "${peers[$1]}")"
		peer_command "$1" "$append enlite.job=$bench enlite.set=$(guest_settings "$1")"
	fi
}

# Not 0: it does not come up.
start_guest() { # index
	local dir=$work/peer$1 before in out
	rm -rf "$dir"
	mkdir -p "$dir"
	: >"$dir/console"
	mkfifo "$dir/in" "$dir/out"
	guest_command "$1"
	before="$(echo "$kvm_debug"/*-*/)"
	"${command[@]}" <"$dir/in" >"$dir/out" 2>"$dir/errors" &
	pids[$1]=$!
	disown # how it ended, we say ourselves
	exec {in}>"$dir/in" {out}<"$dir/out"
	to[$1]=$in from[$1]=$out
	expect_line "$1" '@init*' $boot_seconds "boot" && find_vm "$1" "$before" && find_helpers "$1"
}

# Threads of the kernel that work for the process but are not among its own: vhost's, before Linux 6.4.
find_helpers() { # index
	local comm
	helpers[$1]=
	for comm in /proc/[0-9]*/comm; do
		[ "$(cat "$comm" 2>/dev/null)" != "vhost-${pids[$1]}" ] || helpers[$1]+=" ${comm%/comm}/stat"
	done
}

# Until the guest asks what to do; what it says about itself is put down. Not 0: it died before.
meet_guest() { # index
	local facts='{}'
	while expect_line "$1" '@*' $boot_seconds "boot" || return; do
		case $heard in
		@checkpoint*) break ;;
		@fail*) die "${names[$1]}: the guest says: ${heard#@fail }" ;;
		*) facts=$(jq -c --arg line "${heard#@}" '. + ($line | capture("^(?<key>\\S+) ?(?<value>.*)") |
			{(.key): .value})' <<<"$facts") ;;
		esac
	done
	put "$(jq -nc --arg peer "${names[$1]}" --argjson facts "$facts" --arg command "${command[*]}" \
		'{guest: $peer, facts: $facts, command: $command}')"
	note "${names[$1]} is up"
}

kill_guest() { # index
	local in=${to[$1]} out=${from[$1]}
	kill -KILL "${pids[$1]}" 2>/dev/null
	timeout 10 tail --pid="${pids[$1]}" -f /dev/null
	exec {in}>&- {out}<&-
}

# The bed loses a guest now and then (see bed/l1.sh), ours or QEMU's, while it boots or later. One that
# is lost is booted again, and the table says so.
put_lost() { # index during
	put "$(jq -nc --arg lost "${names[$1]}" --arg during "$2" '$ARGS.named')"
}

boot_guest() { # index
	local try
	for ((try = 1; try <= boot_tries; try++)); do
		start_guest "$1" && meet_guest "$1" && return
		kill_guest "$1"
		put_lost "$1" "boot"
	done
	die "${names[$1]}: does not boot"
}

replace_guest() { # index during
	kill_guest "$1"
	put_lost "$1" "$2"
	boot_guest "$1"
}

# It says no more once it is told to go on.
boot_neighbour() {
	boot_guest "$neighbour_index"
	tell "$neighbour_index" go
}

replace_lost_neighbour() { # during
	[ -n "$neighbour" ] && [ ! -d "/proc/${pids[neighbour_index]}" ] || return 0
	kill_guest "$neighbour_index"
	put_lost "$neighbour_index" "$1"
	boot_neighbour
}

end_guest() { # index
	tell "$1" off
	while hear "$1" 60; do
		case $heard in
		@dmesg* | @fail*) put_problem "$1" "its log: ${heard#@* }" ;;
		esac
	done
	timeout 10 tail --pid="${pids[$1]}" -f /dev/null || put_problem "$1" "did not power off"
}

# ---- measuring ---------------------------------------------------------------

choose_counters() {
	local name
	counters=()
	for name in exits halt_exits io_exits mmio_exits irq_exits irq_injections irq_window_exits \
		request_irq_exits signal_exits hypercalls insn_emulation host_state_reload; do
		[ ! -f "${vms[0]}/$name" ] || counters+=("$name")
	done
}

# Adds the time that the neighbour has been running, in ticks.
sample_neighbour() {
	local stat
	[ -n "$neighbour" ] || return 0
	read -r stat <"/proc/${pids[neighbour_index]}/stat" || return
	# shellcheck disable=SC2206 # words
	stat=(${stat##*) })
	sampled+=",\"neighbour\":${stat[40]}"
}

# Sets $sampled: time, CPU time in ticks (user includes guest) and KVM's counters, as a JSON object.
# No process is started for it. Not 0: the guest died, or the neighbour.
sample() { # index
	local stat name value user=0 system=0 guest=0 file
	for file in "/proc/${pids[$1]}/stat" ${helpers[$1]}; do
		read -r stat <"$file" || return
		# shellcheck disable=SC2206 # words
		stat=(${stat##*) })
		user=$((user + stat[11])) system=$((system + stat[12])) guest=$((guest + stat[40]))
	done
	sampled="{\"time\":$EPOCHREALTIME,\"user\":$user,\"system\":$system,\"guest\":$guest"
	for name in "${counters[@]}"; do
		read -r value <"${vms[$1]}/$name" || return
		sampled+=",\"$name\":$value"
	done
	sample_neighbour || return
	sampled+="}"
}

# Nobody has anything to do: what is left disturbs the one who is measured.
measure_idle() {
	local index first=()
	for index in "${!peers[@]}"; do
		sample "$index" || die "${peers[index]}: the guest died"
		first[index]=$sampled
	done
	sleep $idle_seconds
	for index in "${!peers[@]}"; do
		sample "$index" || die "${peers[index]}: the guest died"
		put "{\"idle\":\"${peers[index]}\",\"begin\":${first[index]},\"end\":$sampled}"
	done
}

# Sets $counted: what ours counts itself; taken outside of the cell. Not 0: ours died.
take_stats() { # index
	counted=null
	[ "$(peer_kind "${peers[$1]}")" = enlite ] || return 0
	counted=$("$work/peer$1/enlite" ctl "$bench$1" stats --json)
}

# Not 0: the guest was lost on the way, nothing is put down.
run_cell() { # index cell round
	local what="$2, round $3" begin end stats figures record
	take_stats "$1" || return
	stats=$counted
	tell "$1" "$(cell_request "$2")"
	expect_line "$1" '@begin' 60 "$what" || return
	sample "$1" || return
	begin=$sampled
	expect_line "$1" '@end' $((seconds + 30)) "$what" || return
	sample "$1" || return
	end=$sampled
	expect_line "$1" '@cell 0 *' 60 "$what" || return
	# shellcheck disable=SC2086 # words
	read_cell $heard || die "${peers[$1]}: '$heard' in $what"
	expect_line "$1" '@checkpoint next' 30 "$what" || return
	take_stats "$1" || return
	record="{\"round\":$3,\"cell\":\"$2\",\"peer\":\"${peers[$1]}\",$figures,\"begin\":$begin,\"end\":$end,"
	record+="\"stats_before\":$stats,\"stats_after\":$counted}"
	put "$record"
}

# Each cell begins with another peer, and every other round goes backwards: drift cancels.
run_round() { # round
	local cell number=0 step index
	for cell in $cells; do
		for ((step = 0; step < ${#peers[@]}; step++)); do
			index=$(((step + number + $1) % ${#peers[@]}))
			[ $(($1 % 2)) -eq 1 ] || index=$((${#peers[@]} - 1 - index))
			run_cell "$index" "$cell" "$1" && continue
			replace_lost_neighbour "$cell, round $1"
			replace_guest "$index" "$cell, round $1"
			run_cell "$index" "$cell" "$1" || die "${peers[index]}: lost twice"
		done
		number=$((number + 1))
		note "round $1 of $rounds: $cell done"
	done
}

write_head() {
	# shellcheck disable=SC2086 # words
	jq -nc --argjson cells "$(printf '%s\n' $cells | jq -R . | jq -sc .)" \
		--argjson peers "$(printf '%s\n' "${peers[@]}" | jq -R . | jq -sc .)" \
		--argjson rounds "$rounds" --argjson seconds "$seconds" --argjson vps "$vps" \
		--argjson memory_mib "$memory" --arg enlite_args "$enlite_args" \
		--argjson ticks "$(getconf CLK_TCK)" --arg flavour "$flavour" --arg place "${BED_PLACE:-}" --arg bed_thread "${BED_THREAD:-}" \
		--argjson neighbour "${neighbour:-false}" \
		--arg qemu "$(qemu-system-x86_64 --version | head -n 1)" --argjson more "$(more_facts)" \
		--arg host_kernel "$(uname -r)" --argjson host_cpus "$(nproc)" \
		--arg kvm "$($ENLITE probe --json | jq -r .kvm.kind)$(grep -q TCG /proc/cpuinfo && echo ', nested in QEMU TCG')" \
		'{head: ($ARGS.named + $more | del(.more))}'
}

# The whole: boots, measures idle guests, runs the rounds, ends the guests.
run_guests() {
	local index round initrd=$bench${guest_modules:+-$guest_modules}-initrd
	[ -d $kvm_debug ] || mount -t debugfs debugfs /sys/kernel/debug || die "no $kvm_debug"
	trap stop_guests EXIT
	trap : PIPE # a guest that died is noticed by what it does not say
	stage "$flavour" "$initrd"
	kernel=$work/$flavour/vmlinuz
	initrd=$work/$flavour/$initrd
	[ "$first_round" -gt 1 ] || put "$(write_head)"
	make_inputs
	note "inputs are ready"
	for index in "${!peers[@]}"; do
		boot_guest "$index"
	done
	[ -z "$neighbour" ] || boot_neighbour
	choose_counters
	[ "$first_round" -gt 1 ] || measure_idle
	for ((round = first_round; round <= rounds; round++)); do
		run_round "$round"
		put "{\"done\":$round}"
		deliver
	done
	for index in "${!peers[@]}"; do
		end_guest "$index"
	done
	deliver
}
