# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2054,SC2154
# What a peer and a cell of the storage bench are called, and what that means. Sourced by `run` and,
# in the bed, by `inside`.
#
# A peer is KIND[@BINARY][:OPTION[=VALUE]]... Options of "enlite" are those of `enlite run` without
# "--" (a flag has no value), except disk=PART, which goes into the --disk SPEC; those of the others
# go to their QEMU device. A cell is RW-BLOCK-dIODEPTH-jJOBS.

storage_kinds="enlite virtio-blk virtio-scsi ide sata"
storage_cells="randread-4k-d1-j1 randread-4k-d1-j4 randread-4k-d32-j1 randread-4k-d32-j4
	randwrite-4k-d1-j1 randwrite-4k-d1-j4 randwrite-4k-d32-j1 randwrite-4k-d32-j4
	read-128k-d32-j1 read-128k-d32-j4 write-128k-d32-j1 write-128k-d32-j4"

peer_kind() { # peer
	local name=${1%%:*}
	echo "${name%%@*}"
}

# The program that is the host; "" when the peer does not say.
peer_binary() { # peer
	local name=${1%%:*}
	[[ $name != *@* ]] || echo "${name#*@}"
}

# Sets the array `peer_options` to OPTION[=VALUE]...
split_peer() { # peer
	peer_options=()
	[[ $1 != *:* ]] || IFS=: read -ra peer_options <<<"${1#*:}"
}

# Prints "RW BLOCK_BYTES IODEPTH JOBS"; status 1 when it is no cell.
parse_cell() { # cell
	[[ $1 =~ ^(randread|randwrite|read|write)-([1-9][0-9]*)k-d([1-9][0-9]*)-j([1-9][0-9]*)$ ]] || return 1
	echo "${BASH_REMATCH[1]} $((BASH_REMATCH[2] * 1024)) ${BASH_REMATCH[3]} ${BASH_REMATCH[4]}"
}

# A word with * stands for all default cells that match.
expand_cells() { # cell or pattern...
	local word cell
	for word; do
		case $word in
		*'*'*)
			for cell in $storage_cells; do
				# shellcheck disable=SC2053 # a pattern
				[[ $cell != $word ]] || echo "$cell"
			done
			;;
		*) echo "$word" ;;
		esac
	done
}

# ---- command lines: each sets the array `command` ----------------------------

enlite_command() { # name binary kernel initrd append image
	local option spec=$6
	command=("$2" run --name "$1" --kernel "$3" --initrd "$4" --append "$5" --cpus "$vps"
		--memory "${memory}M" --console stdio)
	for option in "${peer_options[@]}"; do
		case $option in
		disk=*) spec+=,${option#disk=} ;;
		*=*) command+=("--${option%%=*}" "${option#*=}") ;;
		*) command+=("--$option") ;;
		esac
	done
	# shellcheck disable=SC2206 # words
	command+=($enlite_args --disk "$spec")
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
	local machine=q35 option extra=
	[ "$1" != ide ] || machine=pc
	for option in "${peer_options[@]}"; do
		extra+=,$option
	done
	qemu_device "$1" "$extra"
	command=(qemu-system-x86_64 -M "$machine" -accel kvm -cpu "host,-xsave" -smp "$vps" -m "${memory}M"
		-nodefaults -no-user-config -no-reboot -display none -serial stdio
		-kernel "$2" -initrd "$3" -append "$4"
		-drive "file=$5,if=none,id=disk,format=raw,cache=writeback,aio=io_uring"
		"${device[@]}")
}
