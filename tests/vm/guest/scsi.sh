# SPDX-License-Identifier: MIT
# Guest side: the SCSI commands, as sg3-utils send and decode them.

identity() {
	check "sg_inq" "sg_inq $dev" 'Vendor identification: Msft' 'Product identification: Virtual Disk' \
		'version=0x05' 'CmdQue=1' 'PDT=0' 'Unit serial number: ENLITE0001'
	check "sg_vpd -a" "sg_vpd -a $dev" 'Supported VPD pages VPD page' 'Unit serial number: ENLITE0001' \
		'0x6002248' 'T10 vendor identification' 'Maximum unmap block descriptor count: [1-9]' \
		'Non-rotating medium' 'Unmap command supported \(LBPU\): 1' \
		'Write same \(16\) with unmap bit supported \(LBPWS\): 1' 'Logical block provisioning read zeros \(LBPRZ\): 1' \
		'Provisioning type: 2'
	check "sg_luns" "sg_luns $dev" 'Lun list length = 16 which imples 2 lun' \
		'0000000000000000' '0001000000000000'
	check "sg_luns, well known" "sg_luns -s 1 $dev" 'Lun list length = 0'
	check "sg_readcap -l" "sg_readcap -l $dev" 'Protection: prot_en=0' 'lbpme=1, lbprz=1' \
		"Number of logical blocks=$blocks\$" 'Logical block length=512 bytes' 'exponent=3'
	check "sg_readcap" "sg_readcap $dev" "Number of logical blocks=$blocks\$"
	check "sg_turs -n 1000" "sg_turs -n 1000 $dev" 'Completed 1000 Test Unit Ready commands with 0 errors'
	check "sg_requests" "sg_requests $dev" 'No Sense'
	check "sg_logs" "sg_logs -a $dev" 'Supported log pages' 'Informational Exceptions'
	check "sg_start" "sg_start --stop $dev"
	check "sg_start, start" "sg_start --start $dev"
	check "sg_senddiag -t" "sg_senddiag -t $dev"
}

# Turning the write cache off is what MODE SELECT is for here.
modes() {
	check "sg_modes -a" "sg_modes -a $dev" 'WP=0, DpoFua=1' 'Caching, page_control: current' '00 +08 12 04 '
	is "write cache" "$(cat /sys/block/$disk/queue/write_cache)" "write back"
	echo "write through" >"/sys/class/scsi_disk/$scsi/cache_type"
	is "write cache off" "$(cat /sys/class/scsi_disk/$scsi/cache_type) $(cat /sys/block/$disk/queue/write_cache)" \
		"write through write through"
	echo "write back" >"/sys/class/scsi_disk/$scsi/cache_type"
	is "write cache on again" "$(cat /sys/class/scsi_disk/$scsi/cache_type) $(cat /sys/block/$disk/queue/write_cache)" \
		"write back write back"
}

opcodes() {
	check "sg_opcodes" "sg_opcodes $dev" '00 .*Test Unit Ready' '28 .*Read\(10\)' '42 .*Unmap' \
		'9e +12 .*Get LBA status' 'a3 +c .*Report supported operation codes' '5f +4 .*Persistent reserve out, preempt'
	check "sg_opcodes, one" "sg_opcodes --opcode=0x2a $dev" 'Command is supported' \
		'Usage data: 2a f8 ff ff ff ff 00 ff ff 00'
	check "sg_opcodes, one that is not there" "sg_opcodes --opcode=0x7f $dev" 'Command is NOT supported'
}

# What is at a block, as a checksum.
sum_of() { # first block, blocks
	dd if="$dev" bs=512 skip="$1" count="$2" iflag=direct 2>/dev/null | sha256sum | cut -c1-16
}

zeroes() { # blocks
	dd if=/dev/zero bs=512 count="$1" 2>/dev/null | sha256sum | cut -c1-16
}

fill() { # first block, blocks
	dd if=/dev/urandom of="$dev" bs=512 seek="$1" count="$2" oflag=direct 2>/dev/null
}

media() {
	fill 2048 64
	check "sg_verify" "sg_verify --lba=2048 --count=64 $dev"
	check "sg_verify --16" "sg_verify --16 --lba=2048 --count=64 $dev"
	check "sg_verify, beyond the end" -s 22 "sg_verify --lba=$blocks --count=1 $dev"
	dd if="$dev" of=/tools/tmp/same bs=512 skip=2048 count=8 iflag=direct 2>/dev/null
	check "sg_verify, data agree" "sg_verify --ndo=4096 --in=/tmp/same --lba=2048 --count=8 $dev"
	check "sg_verify, data disagree" -s 14 "sg_verify --ndo=4096 --in=/tmp/same --lba=2049 --count=8 $dev"
	check "sg_sync" "sg_sync $dev"
	check "sg_sync --16" "sg_sync --16 --lba=2048 --count=64 $dev"
	head -c 4096 /dev/urandom >/tools/tmp/new
	check "sg_write_verify" "sg_write_verify --ilen=4096 --in=/tmp/new --lba=2056 --num=8 $dev"
	is "sg_write_verify really writes" "$(sum_of 2056 8)" "$(sha256sum </tools/tmp/new | cut -c1-16)"
}

# A megabyte of data, of which a part goes by each command; the neighbours stay.
provisioning() {
	fill 8192 2048
	check "sg_get_lba_status, mapped" "sg_get_lba_status --lba=8192 $dev" 'mapped'
	before=$(sum_of 8192 256)
	check "sg_unmap" "sg_unmap --force --lba=8448 --num=256 $dev"
	is "sg_unmap: reads as zeros" "$(sum_of 8448 256)" "$(zeroes 256)"
	is "sg_unmap: the neighbour stays" "$(sum_of 8192 256)" "$before"
	check "sg_get_lba_status, deallocated" "sg_get_lba_status --lba=8448 $dev" 'deallocated'
	check "sg_get_lba_status, end of a hole" "sg_get_lba_status --brief --lba=8448 $dev" \
		'0x0000000000002100 +0x100 +1'
	check "sg_unmap, beyond the end" -s 22 "sg_unmap --force --lba=$((blocks - 1)) --num=2 $dev"
	head -c 512 /dev/urandom >/tools/tmp/block
	check "sg_write_same" "sg_write_same --10 --in=/tmp/block --lba=9000 --num=8 $dev"
	is "sg_write_same: the pattern" "$(sum_of 9007 1)" "$(sha256sum </tools/tmp/block | cut -c1-16)"
	check "sg_write_same --16 --unmap" "sg_write_same --16 --unmap --in=/dev/zero --xferlen=512 --lba=9216 --num=512 $dev"
	is "sg_write_same --unmap: reads as zeros" "$(sum_of 9216 512)" "$(zeroes 512)"
	check "sg_write_same --ndob" "sg_write_same --16 --ndob --lba=8192 --num=8 $dev"
	is "sg_write_same --ndob: zeros" "$(sum_of 8192 8)" "$(zeroes 8)"
	check "lsblk -D" "lsblk -D -b -n -o DISC-GRAN,DISC-MAX,DISC-ZERO $dev" '^ *4096 +[1-9][0-9]+ '
}

# Persistent reservations: one initiator, the whole life of a key.
reservations() {
	check "sg_persist, capabilities" "sg_persist --in --report-capabilities $dev" 'Write Exclusive: 1' 'Exclusive Access: 1'
	check "sg_persist, register" "sg_persist --out --register --param-sark=0xabc $dev"
	check "sg_persist, keys" "sg_persist --in --read-keys $dev" '1 registered reservation key' '0xabc'
	check "sg_persist, reserve" "sg_persist --out --reserve --param-rk=0xabc --prout-type=3 $dev"
	check "sg_persist, reservation" "sg_persist --in --read-reservation $dev" 'Key ?= ?0xabc' 'Exclusive Access'
	check "sg_persist, full status" "sg_persist --in --read-full-status $dev" '0xabc' 'Reservation holder'
	check "the holder may write" "dd if=/dev/zero of=$dev bs=512 count=1 oflag=direct"
	check "sg_persist, wrong key" -s 24 "sg_persist --out --release --param-rk=0xdef --prout-type=3 $dev"
	check "sg_persist, preempt" "sg_persist --out --preempt --param-rk=0xabc --param-sark=0xabc --prout-type=1 $dev"
	check "sg_persist, preempted" "sg_persist --in --read-reservation $dev" '0xabc' 'Write Exclusive'
	check "sg_persist, release" "sg_persist --out --release --param-rk=0xabc --prout-type=1 $dev"
	check "sg_persist, none" "sg_persist --in --read-reservation $dev" 'there is NO reservation held'
	check "sg_persist, unregister" "sg_persist --out --register --param-rk=0xabc --param-sark=0 $dev"
	check "sg_persist, no keys" "sg_persist --in --read-keys $dev" 'there are NO registered reservation keys'
}

# Requests are in flight, or fio is done.
loaded() {
	[ "$(awk '{ print $9 }' "/sys/block/$disk/stat")" -gt 0 ] || [ ! -d /proc/$fio ]
}

# Every kind of reset, while fio writes and verifies; this guest has no smaller one than the bus's, and
# each waits for all that is in flight.
resets() {
	with_tools fio --name=load --filename="$dev" --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k \
		--iodepth=32 --size=32M --offset=64M --verify=crc32c --verify_state_save=0 --verify_backlog=256 \
		--time_based=1 --runtime="$seconds" >/tmp/load.out 2>&1 &
	fio=$!
	count=0
	while wait_until "fio loads the disk" loaded && [ -d /proc/$fio ]; do
		for kind in -d -t -b -H; do
			with_tools sg_reset $kind "$dev" >/tmp/reset.out 2>&1 ||
				not_ok "sg_reset $kind" "$(cat /tmp/reset.out)"
			count=$((count + 1))
		done
	done
	say resets $count
	wait $fio
	is "fio under sg_reset -d -t -b -H" $? 0
}

# The host measures the file before and after.
trim() {
	with_tools mkfs.ext4 -q -F "$dev"
	mount -t ext4 "$dev" /mnt
	head -c 24000000 /dev/urandom >/mnt/data
	sync
	checkpoint before_trim
	rm /mnt/data
	sync
	mount --bind /mnt /tools/mnt
	check "fstrim" "fstrim -v /mnt" '/mnt: .* trimmed'
	umount /tools/mnt
	sync
	checkpoint after_trim
	umount /mnt
	check "fsck after fstrim" "e2fsck -fn $dev"
}

job_scsi() {
	find_disks || return
	load sg
	dev=/dev/$disk
	scsi=$(scsi_of_lun 0)
	blocks=$(cat "/sys/block/$disk/size")
	identity
	modes
	opcodes
	media
	provisioning
	reservations
	trim
	resets
	dmesg_findings
}
