# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Data on a file, a block device, and what NBD servers offer; file systems.

server_pids=()
loops=()

# A server is bound to the socket, and takes connections.
listens() { grep -q " 00010000 [^/]* $1\$" /proc/net/unix; } # path

# Bounded: two minutes.
until_listens() { # path
	local tries
	for ((tries = 0; tries < 2400; tries++)); do
		listens "$1" && return
		sleep 0.05
	done
	return 1
}

start_server() { # socket, command...
	local socket=$1
	shift
	rm -f "$socket"
	"$@" >>"$work/servers.log" 2>&1 &
	server_pids+=($!)
	until_listens "$socket" && return
	echo "no socket $socket from: $*" >&2
	return 1
}

stop_servers() {
	[ ${#server_pids[@]} -eq 0 ] || kill "${server_pids[@]}" 2>/dev/null
	wait "${server_pids[@]}" 2>/dev/null
	server_pids=()
}

# In $work/fs, one that has O_DIRECT: tmpfs has not before Linux 6.6, and the bed's is 6.1.
mount_file_system() {
	mkdir -p "$work/fs"
	truncate -s 192M "$work/fs.img"
	mkfs.ext4 -q -F "$work/fs.img" && { modprobe -q -a loop ext4 || true; } &&
		mount -o loop "$work/fs.img" "$work/fs"
}

# Starts what the back end needs; sets $spec, what --disk takes, for a disk of $size.
prepare() { # kind
	local file=$work/$1.img
	[ "$1" != direct ] || { mount_file_system && file=$work/fs/$1.img; } || return
	new_disk "$file" "$size"
	spec="nbd+unix:///?socket=$work/$1.sock"
	case $1 in
	file) spec=$file ;;
	direct) spec=$file,direct ;;
	loop) spec=$(losetup --find --show "$file") && loops+=("$spec") ;;
	nbdkit-memory) start_server "$work/$1.sock" nbdkit -f --unix "$work/$1.sock" memory "$size" ;;
	nbdkit-file) start_server "$work/$1.sock" nbdkit -f --unix "$work/$1.sock" file "$file" ;;
	qcow2)
		qemu-img create -q -f qcow2 "$file" "$size" && start_server "$work/$1.sock" \
			qemu-nbd --socket "$work/$1.sock" --format qcow2 --persistent --shared 0 --discard unmap "$file"
		;;
	esac
}

unprepare() {
	[ ${#loops[@]} -eq 0 ] || losetup --detach "${loops[@]}"
	loops=()
	stop_servers
	! mountpoint -q "$work/fs" || umount "$work/fs"
	rm -f "$work"/*.img "$work"/*.sock
}

# All these back ends in one guest, one LUN each.
test_block() { # flavour cpus kind...
	local kind kinds=() size=128M options=()
	begin "vm/$1, $2 VP: block"
	for kind in "${@:3}"; do
		kinds+=("$kind")
		prepare "$kind" || failures="$failures
$kind: cannot be made"
		options+=(--disk "$spec")
	done
	disk=${options[1]}
	guest_timeout=$(by_length 600 2400)
	guest_memory=768M
	guest_set="kinds=$(IFS=+; echo "${kinds[*]}"),mib=$(by_length 2 24)"
	boot_guest "$1" "$2" block "${options[@]:2}"
	unprepare
	expect_good_end block
	finish
}

test_filesystems() { # flavour cpus
	local file
	begin "vm/$1, $2 VP: file systems"
	for file in disk xfs btrfs; do
		new_disk "$work/$file.img" 384M
	done
	guest_timeout=600
	boot_guest "$1" "$2" filesystems --disk "$work/xfs.img" --disk "$work/btrfs.img"
	unprepare
	expect_good_end filesystems
	finish
}
