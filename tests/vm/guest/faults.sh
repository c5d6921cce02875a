# SPDX-License-Identifier: MIT
# Guest side: disks that fail, hang, or go away for a while.

errors_seen() { # disk; commands that ended with an error, as the SCSI layer counts
	printf '%d\n' "$(cat "/sys/block/$1/device/ioerr_cnt")"
}

fio_field() { # JSON key; its first value that is not zero, else 0
	sed -n "s/.*\"$1\" : \([1-9][0-9]*\).*/\1/p" /tools/tmp/errors | head -n 1 | grep . || echo 0
}

# Reads of LUN 2 fail now and then. What fio counts and what the SCSI layer counts must be what the
# host has injected; what is read without an error is right. A medium error is ENODATA (61) to a
# program, which is fatal to fio by default.
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
	pass=0 errors=0 reads=0 mismatches=0
	while [ $pass -lt "$passes" ]; do
		with_tools fio --name=errors $run --rw=randread --output=/tmp/errors >/tmp/errors.out 2>&1
		errors=$((errors + $(fio_field total_err)))
		reads=$((reads + $(fio_field total_ios)))
		mismatches=$((mismatches + $(grep -c verify /tmp/errors.out)))
		pass=$((pass + 1))
	done
	say fio_errors $errors
	say fio_reads $reads
	say mismatches $mismatches
	say scsi_errors $(($(errors_seen "$bad") - before))
	checkpoint after_errors
}

p99() { # 99th percentile of a short run on the good disk, microseconds
	with_tools fio --name=p99 --filename="/dev/$disk" --ioengine=io_uring --direct=1 --bs=4k --iodepth=4 \
		--rw=randread --size=16M --time_based=1 --runtime=10 --output-format=json --output=/tmp/p99 >/dev/null 2>&1
	echo $(($(sed -n 's/.*"99.000000" : \([1-9][0-9]*\).*/\1/p' /tools/tmp/p99 | head -n 1) / 1000))
}

in_flight() { # disk
	awk '{ print $9 }' "/sys/block/$1/stat"
}

all_hang() { [ "$(in_flight "$stuck")" -ge 8 ]; }

# Writes to LUN 2 take minutes. LUN 0 must not notice.
job_stuck() {
	find_disks && wait_for_lun 2 || return
	stuck=$(disk_of_lun 2)
	p99 >/dev/null # warm
	say baseline "$(p99)"
	for i in 1 2 3 4 5 6 7 8; do
		dd if=/dev/zero of="/dev/$stuck" bs=4k count=1 seek=$i oflag=direct 2>/dev/null &
	done
	wait_until "writes hang" all_hang || return
	say beside "$(p99)"
	say in_flight "$(in_flight "$stuck")"
	wait
	say stuck_writes "$(writes_of "$stuck")"
	dmesg_findings
}

writes_of() { # disk; writes completed
	awk '{ print $5 }' "/sys/block/$1/stat"
}

went_on() { [ "$(writes_of "$remote")" -gt $((before + 20)) ] || ! still_busy; }

# The server of LUN 2 is killed again and again while fio writes and verifies.
job_nbd_kill() {
	find_disks && wait_for_lun 2 || return
	remote=$(disk_of_lun 2)
	start_busy "$remote"
	killed=0
	while [ $killed -lt "$kills" ] && still_busy; do
		before=$(writes_of "$remote")
		wait_until "I/O goes on" went_on || break
		checkpoint kill_server
		killed=$((killed + 1))
	done
	say killed $killed
	stop_busy "fio verify while the server is killed"
	# What was not flushed may be lost with a server, and the next flush says so, once.
	with_tools dd if=/dev/zero of="/dev/$remote" bs=4k count=1 conv=fsync 2>/dev/null
	check "flushes work again" "dd if=/dev/zero of=/dev/$remote bs=4k count=1 conv=fsync"
}

# The file system under LUN 2 has less room than the disk seems to have.
job_no_space() {
	find_disks && wait_for_lun 2 || return
	thin=/dev/$(disk_of_lun 2)
	check "a full disk" -s 1 "dd if=/dev/urandom of=$thin bs=256k count=128 oflag=direct" 'No space left on device'
	check "what is there can be read" "dd if=$thin of=/dev/null bs=256k count=16 iflag=direct"
	head -c 4194304 /dev/urandom >/tools/tmp/data
	check "no room elsewhere" -s 1 "dd if=/tmp/data of=$thin bs=256k seek=192 oflag=direct" 'No space left on device'
	check "trim" "blkdiscard -o 0 -l 8388608 $thin"
	check "room after trim" "dd if=/tmp/data of=$thin bs=256k seek=192 conv=fsync oflag=direct"
	is "data" "$(dd if="$thin" bs=256k skip=192 count=16 iflag=direct 2>/dev/null | sha256sum)" \
		"$(sha256sum </tools/tmp/data)"
	dmesg_findings
}
