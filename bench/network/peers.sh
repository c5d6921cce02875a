# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2054,SC2154
# The peers and cells of the network bench, and what they mean. Sourced by `run` and, in the bed, by
# `inside`. What a peer is called: bench/lib/peers.sh; an option net=PART of ours goes into the --net
# SPEC. Each has a TAP interface. Cells: tcp-DIRECTION-sSTREAMS, udp-DIRECTION-BYTES, rr-BYTES; up is from
# the guest to the host.
. bench/lib/peers.sh

kinds="enlite virtio-user virtio-vhost e1000"
default_cells="tcp-up-s1 tcp-up-s4 tcp-down-s1 tcp-down-s4 tcp-both-s1 udp-up-64 udp-down-64 rr-1"

# Prints what netload is asked for, without the time; status 1 when it is no cell.
parse_cell() { # cell
	case $1 in
	tcp-*) [[ $1 =~ ^(tcp)-(up|down|both)-s([1-9][0-9]?)$ ]] ;;
	udp-*) [[ $1 =~ ^(udp)-(up|down)-([1-9][0-9]{0,3})$ ]] ;;
	*) [[ $1 =~ ^(rr)-([1-9][0-9]{0,4})$ ]] ;;
	esac && echo "${BASH_REMATCH[@]:1}"
}

# ---- command lines: each sets the array `command` ----------------------------

device_option() { # option
	[[ $1 == net=* ]]
}

mac_of() { # number
	printf '52:54:00:77:00:%02x' "$1"
}

enlite_command() { # name binary kernel initrd append number
	local option spec
	spec="tap:tap$6,mac=$(mac_of "$6")"
	enlite_base_command "${@:1:5}"
	for option in "${peer_options[@]}"; do
		! device_option "$option" || spec+=,${option#net=}
	done
	command+=(--net "$spec")
}

# Queues as our NIC has them: one for each VP.
qemu_command() { # kind kernel initrd append number
	local netdev="tap,id=net,ifname=tap$5,script=no,downscript=no" device
	device="mac=$(mac_of "$5"),netdev=net$(qemu_device_options)"
	case $1 in
	virtio-vhost) netdev+=,vhost=on device=virtio-net-pci,$device ;;
	virtio-user) netdev+=,vhost=off device=virtio-net-pci,$device ;;
	*) device=$1,$device ;;
	esac
	[[ $1 != virtio-* || $vps -eq 1 ]] || netdev+=,queues=$vps device+=,mq=on,vectors=$((2 * vps + 2))
	qemu_base_command q35 "${@:2:3}"
	command+=(-netdev "$netdev" -device "$device")
}

# Sets the array `tap_flags`: those which the peer's program asks for.
choose_tap_flags() { # kind
	tap_flags=(vnet_hdr)
	case $1 in
	enlite) tap_flags+=(multi_queue) ;;
	virtio-*) [ "$vps" -eq 1 ] || tap_flags+=(multi_queue) ;;
	esac
}
