# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Screen, keyboard and mouse with stock kernels: pictures that the guest draws are compared byte by byte, keys
# and moves are what the guest's own drivers say.

vnc_socket() { echo "$work/vnc"; }

# Three stripes, as the guest draws them: RED GREEN BLUE of each, in octal.
stripes() { # colour...
	local colour i
	printf 'P6\n1024 768\n255\n'
	for colour; do
		for ((i = 0; i < 10; i++)); do colour=$colour$colour; done
		for ((i = 0; i < 256; i++)); do printf "$colour"; done
	done
}

note_same_picture() { # what file file
	if cmp "$2" "$3" >/dev/null 2>&1; then note "$1" "" ""; else note "$1" "$(cmp "$2" "$3" 2>&1)" "equal"; fi
}

# The picture by both ways. Before hyperv_drm runs, nobody tells what was drawn.
checkpoint_display_drawn() { # name
	case $1 in
	boot) stripes '\020\040\060' '\377\000\377' '\001\002\003' >"$work/wanted.ppm" ;;
	*) stripes '\100\101\102' '\000\377\000' '\012\015\033' >"$work/wanted.ppm" ;;
	esac
	ctl screenshot "$work/shot.ppm" --format ppm >/dev/null 2>>"$work/notes"
	note_same_picture "$1: screenshot" "$work/shot.ppm" "$work/wanted.ppm"
	build/vnc_client "$(vnc_socket)" ppm "$work/vnc.ppm" 2>>"$work/notes"
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

# Corners, each button, a step of the wheel each way.
checkpoint_display_pointed() {
	build/vnc_client "$(vnc_socket)" pointer 5,5,0 0,0,0 1023,767,0 1023,767,1 1023,767,0 1023,767,4 \
		1023,767,0 1023,767,2 1023,767,0 1023,767,8 1023,767,0 1023,767,16 1023,767,0 2>&1
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
	finish
}

# ---- a reset, and the picture before it --------------------------------------

checkpoint_display_again() {
	if [ ! -e "$work/display_booted" ]; then
		touch "$work/display_booted"
		note_match "no guest has ended" "$(ctl screenshot "$work/last.ppm" --last 2>&1)" "no guest of this VM has"
		echo reset
		return
	fi
	stripes '\020\040\060' '\377\000\377' '\001\002\003' >"$work/wanted.ppm"
	ctl screenshot "$work/last.ppm" --last --format ppm >/dev/null 2>>"$work/notes"
	note_same_picture "the picture before the reset" "$work/last.ppm" "$work/wanted.ppm"
	echo last
}

test_display_again() { # flavour cpus
	begin "vm/$1, $2 VP: the last picture is kept"
	rm -f "$work/display_booted"
	display_boot "$1" "$2" display_again
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" display_again
	finish
}
