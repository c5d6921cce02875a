# SPDX-License-Identifier: MIT
# Guest side: disks that fail, hang, or go away for a while.

errors_seen() { # disk; commands that ended with an error, as the SCSI layer counts
	printf '%d\n' "$(cat "/sys/block/$1/device/ioerr_cnt")"
}

fio_field() { # file, JSON key; the last value
	sed -n "s/.*\"$2\" : \([0-9]*\).*/\1/p" "$1" | tail -n 1
}

# Reads of LUN 2 fail now and then. What fio counts and what the SCSI layer counts must be what the
# host has injected; what is read without an error is right. A medium error is ENODATA (61) to a
# program, which fio takes for fatal if not told.
job_errors() {
	find_disks && wait_for_lun 2 || return
	bad=$(disk_of_lun 2)
	dmesg -n 1
	run="--filename=/dev/$bad --ioengine=io_uring --direct=1 --bs=4k --iodepth=16 --size=16M --verify=crc32c
		--verify_state_save=0 --continue_on_error=all --ignore_error=61 --randrepeat=0 --output-format=json"
	with_tools fio --name=fill $run --rw=write --do_verify=0 --output=/tmp/fill >/dev/null 2>&1
	is "fill" $? 0
	checkpoint before_errors
	before=$(errors_seen "$bad")
	with_tools fio --name=errors $run --rw=randread --loops="$loops" \
		--output=/tmp/errors >/tmp/errors.out 2>&1
	say fio_errors "$(fio_field /tools/tmp/errors total_err)"
	say fio_reads "$(sed -n 's/.*"total_ios" : \([1-9][0-9]*\).*/\1/p' /tools/tmp/errors | head -n 1)"
	say scsi_errors $(($(errors_seen "$bad") - before))
	say mismatches "$(grep -c 'verify' /tmp/errors.out)"
	checkpoint after_errors
	say others "$(errors_seen "$disk")"
}

p99() { # 99th percentile of a short run on the good disk, microseconds
	with_tools fio --name=p99 --filename="/dev/$disk" --ioengine=io_uring --direct=1 --bs=4k --iodepth=4 \
		--rw=randread --size=16M --time_based=1 --runtime=10 --output-format=json --output=/tmp/p99 >/dev/null 2>&1
	echo $(($(fio_field /tools/tmp/p99 99.000000) / 1000))
}

# Writes to LUN 2 take minutes. LUN 0 must not notice.
job_stuck() {
	find_disks && wait_for_lun 2 || return
	stuck=$(disk_of_lun 2)
	p99 >/dev/null # warm
	say baseline "$(p99)"
	for i in 1 2 3 4 5 6 7 8; do
		dd if=/dev/zero of="/dev/$stuck" bs=4k count=1 seek=$i oflag=direct 2>/dev/null &
	done
	wait_until "writes hang" test "$(awk '{ print $9 }' "/sys/block/$stuck/stat")" -ge 0
	say beside "$(p99)"
	say in_flight "$(awk '{ print $9 }' "/sys/block/$stuck/stat")"
	wait
	say stuck_writes "$(awk '{ print $5 }' "/sys/block/$stuck/stat")"
}

# The server of LUN 2 is killed again and again while fio writes and verifies.
job_nbd_kill() {
	find_disks && wait_for_lun 2 || return
	remote=$(disk_of_lun 2)
	with_tools fio --name=nbd --filename="/dev/$remote" --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k-64k \
		--iodepth=16 --size=32M --verify=crc32c --verify_state_save=0 --verify_fatal=1 --verify_backlog=64 \
		--time_based=1 --runtime=$((kills * 3)) --randrepeat=0 >/tmp/nbd.out 2>&1 &
	fio=$!
	killed=0
	while [ $killed -lt "$kills" ] && [ -d /proc/$fio ]; do
		done_before=$(awk '{ print $5 }' "/sys/block/$remote/stat")
		wait_until "I/O goes on" went_on || return
		checkpoint kill_server
		killed=$((killed + 1))
	done
	say killed $killed
	wait $fio
	is "fio verify while the server is killed" "$? $(grep -iE 'verify|error' /tmp/nbd.out | head -n 2)" "0 "
	# What was not flushed may be lost with a server, and the next flush says so, once.
	with_tools dd if=/dev/zero of="/dev/$remote" bs=4k count=1 conv=fsync 2>/dev/null
	check "flushes work again" "dd if=/dev/zero of=/dev/$remote bs=4k count=1 conv=fsync"
}

went_on() {
	[ "$(awk '{ print $5 }' "/sys/block/$remote/stat")" -gt $((done_before + 20)) ] || [ ! -d /proc/$fio ]
}
