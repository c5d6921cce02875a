# SPDX-License-Identifier: MIT
# Guest side: pictures on /dev/fb0, what arrives from keyboard and mouse.

# Blue, green, red and a byte without meaning, in octal: 256 rows of 1024 pixels.
put_stripe() { # pixel
	row=$1
	rows=/tmp/row
	for twice in 2 4 8 16 32 64 128 256 512 1024; do row=$row$row; done
	for twice in 2 4 8 16 32 64 128 256; do rows="$rows $rows"; done
	printf "$row" >/tmp/row
	cat $rows
}

draw_stripes() { # pixel...
	for pixel; do put_stripe "$pixel"; done >/tmp/picture
	dd if=/tmp/picture of=/dev/fb0 bs=1M 2>/dev/null
}

framebuffer() { cat /sys/class/graphics/fb0/name; }

# The text console would draw over it.
leave_console() { for console in /sys/class/vtconsole/vtcon*; do
	grep -q "frame buffer" "$console/name" && echo 0 >"$console/bind"
done; }

draw_boot() {
	is "the boot framebuffer" "$(framebuffer)" "EFI VGA"
	is "its size" "$(cat /sys/class/graphics/fb0/virtual_size)" 1024,768
	leave_console
	draw_stripes '\060\040\020\000' '\377\000\377\377' '\003\002\001\252'
}

input_of() { # part of a name; prints /dev/input/eventN
	sed -n "/Name=.*$1/,/Handlers/s/.*Handlers=.*\(event[0-9]*\).*/\/dev\/input\/\1/p" /proc/bus/input/devices
}

has_input() { [ -e "$(input_of "$1")" ]; }

# Events, a line each: type, code, value; without their times.
input_events() { # file, that a device is copied to
	hexdump -v -e '6/4 "%d " "\n"' "$1" | awk '{ print $5 % 65536, int($5 / 65536), $6 }'
}

# Looks at a file only when there is something in it: where guests are slow, a look takes seconds.
has_event() { [ -s "$1" ] && input_events "$1" | grep -q "$2"; }

load_input() {
	load hyperv-keyboard
	load evdev
	wait_until "the keyboard" has_input "AT Translated"
}

# What comes before the device is open is lost.
wait_for_reader() { # device, process
	device=$1
	reader=$2
	wait_until "a reader of $device" has_opened
}

has_opened() { ls -l /proc/$reader/fd 2>/dev/null | grep -q "$device\$"; }

# What is typed, as a program at the console reads it.
read_typed() {
	: >/tmp/line
	(read -r line; echo "$line" >/tmp/line) </dev/tty1 &
	wait_for_reader /dev/tty1 $!
	checkpoint display_typed
	wait_until "a line" grep -q . /tmp/line
	is "typed" "$(cat /tmp/line)" "echo Hello, World! 42"
}

# Sets $recorder.
record_input() { # part of a device's name, file
	device=$(input_of "$1")
	cat "$device" >"$2" &
	recorder=$!
	wait_for_reader "$device" $recorder
}

press_keys() {
	record_input "AT Translated" /tmp/keys
	checkpoint display_keys
	wait_until "keys" has_event /tmp/keys "^1 106 0"
	kill $recorder
	is "ctrl-f12, right" "$(input_events /tmp/keys | grep '^1 ' | tr '\n' ';')" "1 29 1;1 88 1;1 88 0;1 29 0;1 106 1;1 106 0;"
}

# The VNC server dies while a viewer holds a key.
hold_key() {
	record_input "AT Translated" /tmp/keys
	checkpoint display_crash
	wait_until "the key comes up" has_event /tmp/keys "^1 42 0"
	kill $recorder
	is "a key that was held" "$(input_events /tmp/keys | grep '^1 ' | tr '\n' ';')" "1 42 1;1 42 0;"
}

# Moves that have not been sent become one, so each is waited for.
point() { # what, the event that ends it, X,Y,BUTTONS...
	pointed=$1
	last_event=$2
	shift 2
	checkpoint display_pointed "$@"
	is "the VNC client: $pointed" "$answer" ""
	wait_until "$pointed" has_event /tmp/moves "$last_event"
}

move_mouse() {
	load hid-hyperv
	wait_until "the mouse" has_input "HID-compliant"
	record_input "HID-compliant" /tmp/moves
	point "a corner" "^3 1 32767" 1023,767,0
	point "the other corner" "^3 1 0" 0,0,0
	point "buttons and wheel" "^2 8 -1" 0,0,1 0,0,0 0,0,4 0,0,0 0,0,2 0,0,0 0,0,8 0,0,0 0,0,16 0,0,0
	kill $recorder
	is "corners" "$(input_events /tmp/moves | grep '^3 ' | tr '\n' ';')" "3 0 32767;3 1 32767;3 0 0;3 1 0;"
	is "buttons" "$(input_events /tmp/moves | grep '^1 ' | tr '\n' ';')" "1 272 1;1 272 0;1 273 1;1 273 0;1 274 1;1 274 0;"
	is "wheel" "$(input_events /tmp/moves | grep '^2 8 ' | tr '\n' ';')" "2 8 1;2 8 -1;"
}

job_display() {
	find_disks || return
	draw_boot
	checkpoint display_drawn boot
	load hyperv_drm
	wait_until "hyperv_drm" grep -q hyperv_drm /sys/class/graphics/fb0/name
	dmesg | grep -q "Synthvid Version major 3, minor 5"
	is "protocol 3.5" $? 0
	grep -q "^ *f8000000-f8ffffff" /proc/iomem
	is "the same memory" $? 0
	leave_console
	draw_stripes '\102\101\100\000' '\000\377\000\000' '\033\015\012\000'
	checkpoint display_idle
	is "rectangles told with no viewer" "$answer" 0
	checkpoint display_drawn drm
	load_input
	echo 1 >/sys/class/vtconsole/vtcon1/bind
	read_typed
	press_keys # which tty1 gets, too
	move_mouse
	dmesg_findings
}

job_display_boot() {
	find_disks || return
	draw_boot
	load_input
	press_keys
	hold_key
	checkpoint display_drawn boot
	dmesg_findings
}

job_display_again() {
	find_disks || return
	draw_boot
	checkpoint display_again
	[ "$answer" != reset ] || { sync; reboot -f; }
	[ "$answer" != kexec ] || kexec_again
}

kexec_again() {
	with_tools kexec -c -l /boot/vmlinuz --initrd=/boot/initrd --command-line="$(cat /proc/cmdline)"
	umount /tools/dev /tools/proc /tools/sys 2>/dev/null
	with_tools kexec -e
}
