/* SPDX-License-Identifier: MIT */
/*
 * xdp INTERFACE VERDICT - an XDP program on the interface until standard input ends, made without a
 * compiler or libbpf: static, for guests.
 *
 *   pass  all frames go on      drop  none does
 *   tx    each is sent where it came from      redirect  the same, by redirection to the interface
 *
 * IPv4 frames only: all others pass, so that addresses are still found.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OP(c, d, s, o, i)                                                                          \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* r6: data, r7: its end. Frames that are no IPv4 leave with XDP_PASS. Returns how many. */
static size_t put_head(struct bpf_insn *to)
{
	const struct bpf_insn head[] = {
		OP(BPF_LDX | BPF_W | BPF_MEM, 6, 1, 0, 0), /* r6 = ctx->data */
		OP(BPF_LDX | BPF_W | BPF_MEM, 7, 1, 4, 0), /* r7 = ctx->data_end */
		OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
		OP(BPF_ALU64 | BPF_MOV | BPF_X, 2, 6, 0, 0),
		OP(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 14),
		OP(BPF_JMP | BPF_JLE | BPF_X, 2, 7, 1, 0), /* long enough: over the exit */
		OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		OP(BPF_LDX | BPF_H | BPF_MEM, 3, 6, 12, 0),
		OP(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 1, 0x0008), /* IPv4: over the exit */
		OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	memcpy(to, head, sizeof(head));
	return sizeof(head) / sizeof(head[0]);
}

/* Source and destination change places. */
static size_t put_swap(struct bpf_insn *to)
{
	const struct bpf_insn swap[] = {
		OP(BPF_LDX | BPF_W | BPF_MEM, 2, 6, 0, 0),
		OP(BPF_LDX | BPF_H | BPF_MEM, 3, 6, 4, 0),
		OP(BPF_LDX | BPF_W | BPF_MEM, 4, 6, 6, 0),
		OP(BPF_LDX | BPF_H | BPF_MEM, 5, 6, 10, 0),
		OP(BPF_STX | BPF_W | BPF_MEM, 6, 4, 0, 0),
		OP(BPF_STX | BPF_H | BPF_MEM, 6, 5, 4, 0),
		OP(BPF_STX | BPF_W | BPF_MEM, 6, 2, 6, 0),
		OP(BPF_STX | BPF_H | BPF_MEM, 6, 3, 10, 0),
	};

	memcpy(to, swap, sizeof(swap));
	return sizeof(swap) / sizeof(swap[0]);
}

static size_t put_redirect(struct bpf_insn *to, unsigned int index)
{
	const struct bpf_insn call[] = {
		OP(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, (int)index),
		OP(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0),
		OP(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect),
	};

	memcpy(to, call, sizeof(call));
	return sizeof(call) / sizeof(call[0]);
}

static size_t put_program(struct bpf_insn *to, const char *verdict, unsigned int index)
{
	size_t count = put_head(to);
	int value = !strcmp(verdict, "drop")   ? XDP_DROP
		    : !strcmp(verdict, "pass") ? XDP_PASS
					       : XDP_TX;

	if (value == XDP_TX)
		count += put_swap(to + count);
	if (!strcmp(verdict, "redirect"))
		count += put_redirect(to + count, index);
	else
		to[count++] = OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value);
	to[count++] = OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return count;
}

static long load(const struct bpf_insn *program, size_t count)
{
	static char log[16384];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insn_cnt = (uint32_t)count,
		.insns = (uintptr_t)program,
		.license = (uintptr_t) "GPL",
		.log_level = 1,
		.log_size = sizeof(log),
		.log_buf = (uintptr_t)log,
	};
	long fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0)
		fprintf(stderr, "xdp: the program is refused: %s\n%s", strerror(errno), log);
	return fd;
}

int main(int argc, char **argv)
{
	unsigned int index = argc == 3 ? if_nametoindex(argv[1]) : 0;
	struct bpf_insn program[64];
	union bpf_attr link = {0};
	long fd;
	char c;

	if (!index) {
		fprintf(stderr, "usage: xdp INTERFACE pass|drop|tx|redirect\n");
		return 2;
	}
	fd = load(program, put_program(program, argv[2], index));
	if (fd < 0)
		return 1;
	link.link_create.prog_fd = (uint32_t)fd;
	link.link_create.target_ifindex = index;
	link.link_create.attach_type = BPF_XDP;
	link.link_create.flags = 1u << 2; /* XDP_FLAGS_DRV_MODE */
	if (bpf(BPF_LINK_CREATE, &link) < 0) {
		fprintf(stderr, "xdp: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
