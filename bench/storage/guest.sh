# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154,SC3045
# Guest side of the storage bench. Sourced by tests/vm/guest/init; the host says which cell to run:
# "RW BLOCK_BYTES IODEPTH JOBS BATCH SECONDS WINDOW", or "off". $hipri is 1 when I/O is to be polled for.

# The one disk that has the size which the host has given ($bytes): drivers name it differently.
storage_disk() {
	for size in /sys/block/*/size; do
		if [ "$(cat "$size")" = $((bytes / 512)) ]; then
			disk=${size%/size}
			disk=${disk##*/}
			return
		fi
	done
	return 1
}

# Sets $sectors: read and written by now. Only what the shell can do itself: no process starts while
# figures are taken.
count_sectors() {
	read -r skip skip read_sectors skip skip skip written_sectors skip <"/sys/block/$disk/stat"
	sectors=$((read_sectors + written_sectors))
}

storage_moves() {
	count_sectors
	[ "$sectors" -gt "$idle_sectors" ] || [ ! -d "/proc/$fio" ]
}

# Jobs in sequence have a part of the disk each, or they would read what another has just read. BATCH
# requests are submitted by one system call, so as many must be complete before.
start_fio() { # rw bytes iodepth jobs batch seconds
	part=
	case $1 in
	read | write) part="--size=$((bytes / $4)) --offset_increment=$((bytes / $4))" ;;
	esac
	# shellcheck disable=SC2086 # two options or none
	fio --name=cell --filename="/dev/$disk" --ioengine=io_uring --direct=1 --thread=1 --disk_util=0 \
		--norandommap=1 --randseed=1 --group_reporting --time_based=1 --runtime="$6" --rw="$1" \
		--bs="$2" --iodepth="$3" --numjobs="$4" --iodepth_batch_submit="$5" --iodepth_batch_complete_min="$5" \
		--hipri="${hipri:-0}" $part --output-format=terse --terse-version=3 \
		>/tmp/fio.out 2>/tmp/fio.err &
	fio=$!
}

# The host takes its counters at @begin and @end, which are inside fio's run: what fio needs to start
# and to end is not in them. "@cell STATUS READ_IOPS WRITE_IOPS SECTORS_BEGIN SECTORS_END BUSY_BEGIN
# BUSY_END", IOPS from fio's terse format (fields 8 and 49).
storage_cell() { # rw bytes iodepth jobs batch seconds window
	count_sectors
	idle_sectors=$sectors
	start_fio "$@"
	wait_until "fio's I/O" storage_moves || return
	pause 0.25
	count_sectors
	count_busy
	begin=$sectors busy_begin=$busy
	say begin
	pause "$7"
	count_sectors
	count_busy
	say end
	end=$sectors busy_end=$busy
	wait "$fio"
	status=$?
	[ $status -eq 0 ] || say fio_error "$(grep -v 'no version information' /tmp/fio.err | head -n 1)"
	say cell "$status $(grep '^3;' /tmp/fio.out | cut -d';' -f8,49 | tr ';' ' ') $begin $end $busy_begin $busy_end"
}

# Without poll queues requests would wait for interrupts, and nothing would say so.
need_poll_queues() {
	[ -z "$hipri" ] || [ "$(cat "/sys/block/$disk/queue/io_poll")" = 1 ] ||
		say fail "$disk has no poll queue"
}

job_storage() {
	wait_until "a disk of $bytes bytes" storage_disk || return
	say disk "$(readlink -f "/sys/block/$disk")"
	echo none >"/sys/block/$disk/queue/scheduler"
	say scheduler "$(cat "/sys/block/$disk/queue/scheduler")"
	say modules "$(loaded_modules)"
	need_poll_queues
	vps=$(nproc)
	say clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	while checkpoint next && [ "$answer" != off ]; do
		# shellcheck disable=SC2086 # words
		storage_cell $answer
	done
	dmesg_findings
}
