# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Options, checks and rounds of the benches that compare guests of several hosts. Sourced by the `run`
# of each, which sets $bench (its folder here) and has sourced its peers.sh: $kinds, $default_cells,
# parse_cell.

# Lines of --help that all benches have in common.
# shellcheck disable=SC2086 # words
usage_common() { # what runs in a cell
	cat <<-END
		usage: bench/$bench/run [options]        make bench-$bench BENCH_ARGS="[options]"

		  --rounds N         rounds of all cells (default 5)                            [ROUNDS]
		  --seconds N        how long $1 runs per cell and peer, from 1 (default 2)    [CELL_SECONDS]
		  --cells "C..."     cells, or patterns with * of the default ones              [CELLS]
		  --peers "P..."     KIND[@BINARY][:OPTION[=VALUE]]...                          [PEERS]
		                     (default: $kinds)
		  --vps N            virtual processors of each guest (default 1)               [VPS]
		  --memory MIB       memory of each guest (default $default_memory)                         [MEMORY]
		  --enlite-args "A"  more options for every enlite                              [ENLITE_ARGS]
		  --flavour F        guest kernel, of bed/kernels.txt (default $default_flavour)      [FLAVOUR]
		  --neighbour        one more guest that uses its VP all the time: shows how much
		                     of a CPU it gets                                           [NEIGHBOUR]

		The ratios are those of the first peer to each other one. Variants of ours are peers too. What
		runs in the guest of one of ours is chosen by driver=ours, bus=ours (default: in-tree).
	END
}

refuse() {
	echo "bench-$bench: $* (see --help)" >&2
	exit 2
}

parse() { # ARGUMENTS
	while [ $# -gt 0 ]; do
		case $1 in
		--help | -h) usage; exit 0 ;;
		--neighbour) neighbour=true; shift; continue ;;
		--rounds | --seconds | --cells | --peers | --vps | --memory | --enlite-args | --flavour)
			[ $# -gt 1 ] || refuse "$1 what?"
			local name=${1#--}
			declare -g "${name//-/_}=$2"
			;;
		*) refuse "$1: no such option" ;;
		esac
		shift 2
	done
}

check_number() { # what value least
	[[ $2 =~ ^[0-9]{1,6}$ && $2 -ge $3 ]] || refuse "$1 is '$2', want a number from $3"
}

# One line for what would otherwise be measured with the kernel's driver, or go to QEMU.
check_guest_option() { # peer option
	case $2 in
	driver=ours | driver=in-tree | bus=in-tree) ;;
	bus=ours)
		has_option "$1" driver=ours ||
			refuse "peer '$1': bus=ours needs driver=ours: the kernel's drivers only know the kernel's bus"
		;;
	polled)
		[ "$bench" = storage ] || refuse "peer '$1': polled is for disks"
		has_option "$1" driver=ours ||
			refuse "peer '$1': polled needs driver=ours: the kernel's hv_storvsc cannot poll"
		;;
	polled=*) refuse "peer '$1': polled has no value" ;;
	*) refuse "peer '$1': $2: want ${2%%=*}=ours or ${2%%=*}=in-tree" ;;
	esac
}

check_guest_options() { # peer
	local option
	split_peer "$1"
	for option in "${peer_options[@]}"; do
		! guest_option "$option" || check_guest_option "$1" "$option"
	done
	[ "$(printf '%s\n' "${peer_options[@]%%=*}" | grep -xE 'driver|bus' | sort | uniq -d)" = "" ] ||
		refuse "peer '$1': an option is named twice"
}

# A QEMU device may have a bus.
check_qemu_options() { # peer
	local option
	split_peer "$1"
	for option in "${peer_options[@]}"; do
		[[ $option != driver=* && $option != bus=ours && $option != polled ]] ||
			refuse "peer '$1': $option is for enlite only"
	done
}

check_peer() { # peer
	local kind binary
	kind=$(peer_kind "$1")
	binary=$(peer_binary "$1")
	[[ " $kinds " == *" $kind "* ]] || refuse "peer '$1': there are only $kinds"
	[ -z "$binary" ] || [ "$kind" = enlite ] || refuse "peer '$1': @BINARY is for enlite only"
	[ -z "$binary" ] || [ -x "$binary" ] || refuse "peer '$1': $binary is no program"
	if [ "$kind" = enlite ]; then check_guest_options "$1"; else check_qemu_options "$1"; fi
}

check_peers() { # peer...
	local peer
	[ $# -gt 0 ] || refuse "no peers"
	[ "$(printf '%s\n' "$@" | sort | uniq -d)" = "" ] || refuse "a peer is named twice"
	for peer; do
		check_peer "$peer"
	done
}

check_cells() { # cell...
	local cell
	[ $# -gt 0 ] || refuse "no cells"
	[ "$(printf '%s\n' "$@" | sort | uniq -d)" = "" ] || refuse "a cell is named twice"
	for cell; do
		parse_cell "$cell" >/dev/null || refuse "'$cell' is no cell"
	done
}

# A driver of a peer may be missing in the guest's kernel.
need_driver() { # kind module peer...
	local peer kind=$1 module=$2
	shift 2
	for peer; do
		[ "$(peer_kind "$peer")" != "$kind" ] || [ -n "$(find "build/kernels/$flavour/" -name "$module.ko*")" ] ||
			refuse "peer '$peer': kernel $flavour has no driver $module"
	done
}

# Our bus takes the place of a module.
need_own_bus() { # peer...
	local peer
	for peer; do
		! has_option "$peer" bus=ours ||
			! grep -qr --include=modules.builtin '/hv_vmbus\.ko' "build/kernels/$flavour/lib/modules" ||
			refuse "peer '$peer': kernel $flavour has hv_vmbus built in, and bus=ours takes its place"
	done
}

# One thread for each of L1's CPUs, so that guest and worker process run at the same time; guests with
# more VPs may hang or crash there (bed/l1.sh).
choose_bed() {
	[ "$vps" -gt 1 ] || export BED_THREAD=${BED_THREAD:-multi}
}

# Our modules are made, and in the guests' initrd, only when a peer has them.
choose_initrd() {
	guest_modules=
	[[ ":${peers// /:}:" != *:driver=ours:* ]] || guest_modules=ours
}

# Sets and exports the settings; $peers and $cells are words.
choose_settings() { # ARGUMENTS
	rounds=${ROUNDS:-5} seconds=${CELL_SECONDS:-2} vps=${VPS:-1} memory=${MEMORY:-$default_memory}
	flavour=${FLAVOUR:-$default_flavour} enlite_args=${ENLITE_ARGS:-} neighbour=${NEIGHBOUR:+true}
	peers=${PEERS:-$kinds} cells=${CELLS:-*}
	parse "$@"
	check_number "--rounds" "$rounds" 1
	check_number "--seconds" "$seconds" 1
	check_number "--vps" "$vps" 1
	check_number "--memory" "$memory" 128
	set -f
	# shellcheck disable=SC2086 # words
	cells=$(expand_cells "$default_cells" $cells)
	# shellcheck disable=SC2086 # words
	check_cells $cells
	# shellcheck disable=SC2086 # words
	check_peers $peers
	choose_initrd
	export rounds seconds vps memory flavour enlite_args neighbour peers cells guest_modules
}

rounds_done() {
	jq -s '[.[].done // empty] | max // 0' "$raw"
}

# Rounds that are done stay done when the bed dies; the next bed goes on with the round it died in,
# unless three died in the same one.
measure_in_bed() { # measurements
	local first=1 complete deaths=0 status
	while [ $first -le "$rounds" ]; do
		status=0
		bed/run --timeout $((600 + $1 * (seconds + 10))) -- \
			"bench/$bench/inside" "$PWD/$raw" $first || status=$?
		[ $status -eq 125 ] || return $status
		complete=$(rounds_done)
		deaths=$((deaths + 1))
		[ "$complete" -lt $first ] || deaths=0
		[ $deaths -lt 3 ] || return $status
		first=$((complete + 1))
		echo "{\"lost\":\"the bed\",\"during\":\"round $first\"}" >>"$raw"
	done
}

# Measures, then makes and prints the report; ends with 1 when a figure is missing.
run_bench() {
	local report=build/bench/$bench.json status=0 measurements
	raw=build/bench/$bench.raw
	mkdir -p build/bench
	rm -f "$report"
	: >"$raw"
	measurements=$((rounds * $(wc -w <<<"$cells") * $(wc -w <<<"$peers")))
	echo "bench-$bench: $measurements measurements of $seconds s"
	choose_bed
	measure_in_bed $measurements || status=$?
	[ -s "$raw" ] || exit $status # it has said why
	"bench/$bench/report" "$raw" >"$report.new"
	mv "$report.new" "$report"
	"bench/$bench/table" "$report"
	jq -e '.ok' "$report" >/dev/null || {
		echo "bench-$bench: FAILED: $(jq -r '.failures | join("; ")' "$report")" >&2
		exit 1
	}
}
