# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2054,SC2154
# The peers and cells of the storage bench, and what they mean. Sourced by `run` and, in the bed, by
# `inside`. What a peer is called: bench/lib/peers.sh; an option disk=PART of ours goes into the --disk
# SPEC. A cell is RW-BLOCK-dIODEPTH-jJOBS[-bBATCH]; BATCH requests are submitted by one system call (1).
. bench/lib/peers.sh

kinds="enlite virtio-blk virtio-scsi ide sata"
default_cells="randread-4k-d1-j1 randread-4k-d1-j4 randread-4k-d32-j1 randread-4k-d32-j4
	randwrite-4k-d1-j1 randwrite-4k-d1-j4 randwrite-4k-d32-j1 randwrite-4k-d32-j4
	read-128k-d32-j1 read-128k-d32-j4 write-128k-d32-j1 write-128k-d32-j4"

# Prints "RW BLOCK_BYTES IODEPTH JOBS BATCH"; status 1 when it is no cell.
parse_cell() { # cell
	local number='[1-9][0-9]{0,4}' batch
	[[ $1 =~ ^(randread|randwrite|read|write)-($number)k-d($number)-j($number)(-b($number))?$ ]] || return 1
	batch=${BASH_REMATCH[6]:-1}
	[ "$batch" -le "${BASH_REMATCH[3]}" ] || return 1
	echo "${BASH_REMATCH[1]} $((BASH_REMATCH[2] * 1024)) ${BASH_REMATCH[3]} ${BASH_REMATCH[4]} $batch"
}

# ---- command lines: each sets the array `command` ----------------------------

device_option() { # option
	[[ $1 == disk=* ]]
}

enlite_command() { # name binary kernel initrd append image
	local option spec=$6
	enlite_base_command "${@:1:5}"
	for option in "${peer_options[@]}"; do
		! device_option "$option" || spec+=,${option#disk=}
	done
	command+=(--disk "$spec")
}

# Sets the array `device`: what makes drive "disk" a disk of that kind.
qemu_device() { # kind options
	case $1 in
	virtio-blk) device=(-object iothread,id=io -device "virtio-blk-pci,drive=disk,iothread=io$2") ;;
	virtio-scsi)
		device=(-object iothread,id=io -device "virtio-scsi-pci,id=hba,iothread=io$2"
			-device scsi-hd,drive=disk,bus=hba.0) ;;
	# On the machine's own controller: PIIX3 of pc, ICH9-AHCI of q35.
	ide | sata) device=(-device "ide-hd,drive=disk,bus=ide.0$2") ;;
	esac
}

qemu_command() { # kind kernel initrd append image
	local machine=q35
	[ "$1" != ide ] || machine=pc
	qemu_device "$1" "$(qemu_device_options)"
	qemu_base_command "$machine" "${@:2:3}"
	command+=(-drive "file=$5,if=none,id=disk,format=raw,cache=writeback,aio=io_uring" "${device[@]}")
}
