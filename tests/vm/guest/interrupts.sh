# SPDX-License-Identifier: MIT
# Guest side: timers.

centiseconds() { cut -d' ' -f1 /proc/uptime | tr -d .; }

# Each VP uses the timer, and a sleep takes its time: not less, not a second more.
job_timers() {
	for device in /sys/devices/system/clockevents/clockevent[0-9]*; do
		is "${device##*/}" "$(cat "$device/current_device")" "Hyper-V clockevent"
	done
	before=$(centiseconds)
	for nap in 1 2 3 4 5 6 7 8 9 10; do usleep 50000; done
	slept=$(($(centiseconds) - before))
	{ [ $slept -ge 50 ] && [ $slept -lt 150 ]; } && ok "ten sleeps of 50 ms" ||
		not_ok "ten sleeps of 50 ms" "took $slept centiseconds"
	say has_stimer "$(grep -c HVS: /proc/interrupts)"
	dmesg_findings
}
