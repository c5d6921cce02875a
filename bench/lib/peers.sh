# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# What a peer of a bench is called: KIND[@BINARY][:OPTION[=VALUE]]... Sourced by the `peers.sh` of each
# bench. Options of "enlite" are those of `enlite run` without "--" (a flag has no value), but for those
# that choose what runs in the guest; those of the others go to their QEMU device. For the guest:
#
#   driver=ours   our storvsc or netvsc; driver=in-tree, the default: the kernel's
#   bus=ours      and below it our vmbus_vsc; bus=in-tree, the default: the kernel's hv_vmbus
#   polled        disks only: I/O is polled for (io_uring with hipri); the kernel's driver has no poll queue

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

guest_option() { # option
	[[ $1 =~ ^(driver|bus|polled)(=|$) ]]
}

has_option() { # peer option
	[[ ${1#*:}: == "$2:"* || ${1#*:}: == *":$2:"* ]]
}

# Arguments of the guest's kernel, for tests/vm/guest/lib.sh.
driver_arguments() { # peer
	! has_option "$1" driver=ours || printf ' enlite.drivers=ours'
	! has_option "$1" bus=ours || printf ' enlite.bus=ours'
}

# A word with * stands for all default cells that match.
expand_cells() { # "default cells" cell or pattern...
	local word cell defaults=$1
	shift
	for word; do
		case $word in
		*'*'*)
			for cell in $defaults; do
				# shellcheck disable=SC2053 # a pattern
				[[ $cell != $word ]] || echo "$cell"
			done
			;;
		*) echo "$word" ;;
		esac
	done
}

# ---- command lines -----------------------------------------------------------

# Sets the array `command` to ours, without devices. An option for which `device_option` returns 0 is
# one of a device, not of the program.
enlite_base_command() { # name binary kernel initrd append
	local option
	command=("$2" run --name "$1" --kernel "$3" --initrd "$4" --append "$5" --cpus "$vps"
		--memory "${memory}M" --console stdio)
	for option in "${peer_options[@]}"; do
		! device_option "$option" && ! guest_option "$option" || continue
		case $option in
		*=*) command+=("--${option%%=*}" "${option#*=}") ;;
		*) command+=("--$option") ;;
		esac
	done
	# shellcheck disable=SC2206 # words
	command+=($enlite_args)
}

# Sets the array `command` to QEMU's, without devices.
qemu_base_command() { # machine kernel initrd append
	command=(qemu-system-x86_64 -M "$1" -accel kvm -cpu "host,-xsave" -smp "$vps" -m "${memory}M"
		-nodefaults -no-user-config -no-reboot -display none -serial stdio
		-kernel "$2" -initrd "$3" -append "$4")
}

# The peer's options as those of a QEMU device: ",OPTION=VALUE...".
qemu_device_options() {
	local option
	for option in "${peer_options[@]}"; do
		printf ',%s' "$option"
	done
}
