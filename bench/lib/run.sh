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

		The ratios are those of the first peer to each other one. Variants of ours are peers too.
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

check_peer() { # peer
	local kind binary
	kind=$(peer_kind "$1")
	binary=$(peer_binary "$1")
	[[ " $kinds " == *" $kind "* ]] || refuse "peer '$1': there are only $kinds"
	[ -z "$binary" ] || [ "$kind" = enlite ] || refuse "peer '$1': @BINARY is for enlite only"
	[ -z "$binary" ] || [ -x "$binary" ] || refuse "peer '$1': $binary is no program"
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

# One thread for each of L1's CPUs, so that guest and worker process run at the same time; guests with
# more VPs may hang or crash there (bed/l1.sh).
choose_bed() {
	[ "$vps" -gt 1 ] || export BED_THREAD=${BED_THREAD:-multi}
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
	export rounds seconds vps memory flavour enlite_args neighbour peers cells
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
