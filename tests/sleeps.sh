#!/bin/bash
# SPDX-License-Identifier: MIT
# Compares the calls that may sleep in object files with sleeps.txt, both ways. TAP output.
#   tests/sleeps.sh [TABLE [DIR]]     DIR: where the object files are (build/plain)
set -u
cd "$(dirname "$0")/.." || exit 1
table=${1:-sleeps.txt} objects=${2:-build/plain}

sleeping='accept|accept4|access|clock_nanosleep|close|connect|creat|dup3|epoll_wait|fallocate|fclose
fdatasync|fgets|flock|fopen|fread|fscanf|fstat|fstatfs|fsync|ftruncate|getaddrinfo|ioctl|link|lockf|lseek
lstat|mkdir|mkstemp|mount|nanosleep|open|openat|opendir|poll|posix_fallocate|ppoll|pread|preadv|preadv2
pthread_cond_timedwait|pthread_cond_wait|pthread_join|pwrite|pwritev|pwritev2|read|readlink|realpath|recv
recvmsg|rename|rmdir|select|sem_wait|send|sendmsg|sendto|sleep|stat|statfs|statx|sync|syncfs|system|truncate
unlink|usleep|wait|waitid|waitpid|write|writev|loop_call|loop_join'
sleeping=$(tr '\n' '|' <<<"$sleeping")

# "FILE CALL" a line: what object files import, under the names that the source uses.
found() {
	find "$objects/base" "$objects/host" "$objects/hyper" -name '*.o' -print0 2>/dev/null |
		xargs -0r nm -A -u | sed "s|^$objects/||"'
			s/\.o: *U / /; s/@.*//; s/ __isoc99_/ /; s/ __\(.*\)_\(2\|chk\)$/ \1/
			s/ \(pread\|pwrite\)v64v2$/ \1v2/; s/64$//; s/ files_/ /' |
		grep -E " (${sleeping%|})$" | sort -u |
		while read -r file call; do [ ! -f "$file.c" ] || echo "$file $call"; done
}

listed() {
	sed 's/#.*//' "$table" | awk -F: '/:/ { n = split($2, call, " ")
		for (i = 1; i <= n; i++) print $1, call[i] }'
}

calls=$(found)
differences=$(diff <(listed | sort -u) <(echo "$calls") | sed -n \
	's/^< \(.*\) \(.*\)/\1: \2: not called: a dead entry of sleeps.txt/p
	s/^> \(.*\) \(.*\)/\1: \2: may sleep: on which thread? see sleeps.txt/p')
echo 1..1
if [ -z "$calls" ]; then
	echo "not ok 1 - sleeps: no object files in $objects"
	exit 1
elif [ -n "$differences" ]; then
	echo "not ok 1 - sleeps: calls that may sleep are those of sleeps.txt"
	sed 's/^/#   /' <<<"$differences"
	exit 1
fi
echo "ok 1 - sleeps: calls that may sleep are those of sleeps.txt"
