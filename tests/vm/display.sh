# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Screen, keyboard and mouse with stock kernels: pictures that the guest draws are compared byte by byte, keys
# and moves are what the guest's own drivers say.

vnc_socket() { echo "$work/vnc"; }

# Three stripes, as the guest draws them: RRGGBB of each.
stripes() { # colour...
	perl -e 'print "P6\n1024 768\n255\n", map { pack("H6", $_) x (1024 * 256) } @ARGV' "$@"
}

note_same_picture() { # what file file
	if cmp "$2" "$3" >/dev/null 2>&1; then note "$1" "" ""; else note "$1" "$(cmp "$2" "$3" 2>&1)" "equal"; fi
}

# A server that has crashed is back after a second, or when this machine has time for it.
wait_vnc() { # as for vnc_client
	for _ in {1..600}; do
		build/vnc_client "$(vnc_socket)" "$@" 2>"$work/vnc.err" && return
		sleep 0.1
	done
	sed "s/^/# /" "$work/vnc.err" >>"$work/notes"
}

# The picture by both ways. Before hyperv_drm runs, nobody tells what was drawn.
checkpoint_display_drawn() { # name
	case $1 in
	boot) stripes 102030 ff00ff 010203 >"$work/wanted.ppm" ;;
	*) stripes 404142 00ff00 0a0d1b >"$work/wanted.ppm" ;;
	esac
	ctl screenshot "$work/shot.ppm" --format ppm >/dev/null 2>>"$work/notes"
	note_same_picture "$1: screenshot" "$work/shot.ppm" "$work/wanted.ppm"
	wait_vnc ppm "$work/vnc.ppm"
	note_same_picture "$1: VNC" "$work/vnc.ppm" "$work/wanted.ppm"
	ctl screenshot "$work/shot.png" >/dev/null 2>>"$work/notes"
	note "$1: PNG" "$(head -c 8 "$work/shot.png" | od -An -c | tr -d ' ')" '211PNG\r\n032\n'
}

checkpoint_display_typed() { # what else to press
	ctl type "echo Hello, World! 42
" 2>&1 >/dev/null
}

checkpoint_display_keys() {
	ctl key ctrl-f12 2>&1 >/dev/null
	ctl key right 2>&1 >/dev/null
}

# A key is down when the VNC server dies.
checkpoint_display_crash() { wait_vnc crash 0x2A; }

checkpoint_display_pointed() { # X,Y,BUTTONS...
	build/vnc_client "$(vnc_socket)" pointer "$@" 2>&1
}

# With no viewer the guest has told of nothing that it drew.
checkpoint_display_idle() {
	ctl inspect devices --json | jq '[.[] | select(.id == "video")][0].channels[0].dirts'
}

display_boot() { # flavour cpus job [enlite options...]
	new_disk "$work/disk.img" 64M
	: >"$work/notes"
	guest_timeout=600
	boot_guest "$1" "$2" "$3" --display "vnc=unix:$(vnc_socket)" "${@:4}"
	cat "$work/notes"
}

# With hyperv_drm, hyperv_keyboard and hid-hyperv: amd64 flavours.
test_display() { # flavour cpus
	begin "vm/$1, $2 VP: screen, keyboard, mouse"
	stage "$1"
	display_boot "$1" "$2" display
	expect_good_end display
	expect "the socket is gone" "$([ -e "$(vnc_socket)" ] && echo there)" ""
	finish
}

# Cloud flavours have the boot framebuffer, and the keyboard.
test_display_boot() { # flavour cpus
	begin "vm/$1, $2 VP: boot framebuffer, keyboard"
	display_boot "$1" "$2" display_boot
	expect_good_end display_boot
	expect "lines about the crash" "$(grep -c "VNC server crashed (signal 9)" "$errors")" 1
	finish
}

# ---- a reset, and the picture before it --------------------------------------

# Three boots: a reset after the first, kexec after the second.
checkpoint_display_again() {
	echo boot >>"$work/display_boots"
	stripes 102030 ff00ff 010203 >"$work/wanted.ppm"
	case $(wc -l <"$work/display_boots") in
	1)
		note_match "no guest has ended" "$(ctl screenshot "$work/last.ppm" --last 2>&1)" "no guest of this VM has"
		echo reset
		;;
	2)
		ctl screenshot "$work/last.ppm" --last --format ppm >/dev/null 2>>"$work/notes"
		note_same_picture "the picture before the reset" "$work/last.ppm" "$work/wanted.ppm"
		echo kexec
		;;
	3)
		ctl screenshot "$work/shot.ppm" --format ppm >/dev/null 2>>"$work/notes"
		note_same_picture "the picture after kexec" "$work/shot.ppm" "$work/wanted.ppm"
		echo end
		;;
	esac
}

test_display_again() { # flavour cpus
	begin "vm/$1, $2 VP: screen and reset, kexec; the last picture is kept"
	: >"$work/display_boots"
	display_boot "$1" "$2" display_again
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" display_again
	expect "boots" "$(wc -l <"$work/display_boots")" 3
	finish
}
