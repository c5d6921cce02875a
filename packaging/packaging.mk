# SPDX-License-Identifier: MIT
#
# Installing, and Debian packages:
#   make install PREFIX=/usr/local DESTDIR=       the host's half: programs, man pages, documents, completion
#   make uninstall                                takes that away
#   make install-guest PREFIX=/usr DESTDIR=       the guest's half, as its package has it: sources for dkms,
#                                                 rules for modprobe, hook for initramfs-tools, enlite-guest
#   make deb                                      build/deb/*.deb
#   make package-test                             builds them in a fresh clone and tries them in clean Debians
PREFIX ?= /usr/local
PROGRAMS := $(B)/enlite
SYSTEMD_UNITS = $(wildcard packaging/systemd/*.service packaging/systemd/*.socket packaging/systemd/*.target)

BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
SHARE = $(DESTDIR)$(PREFIX)/share
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
# dkms, modprobe and initramfs-tools look there, whatever the prefix.
GUEST_SRC = $(DESTDIR)/usr/src/enlite-guest-$(VERSION)

# Man pages of the host's half; those of the guest's are named enlite-guest.
HOST_MAN = $(filter-out docs/man/enlite-guest.%,$(wildcard docs/man/*.[1-8]))
GUEST_MAN = $(wildcard docs/man/enlite-guest.[1-8])
HOST_DOCS = README.md SECURITY.md $(wildcard docs/*.md)
man_target = $(SHARE)/man/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))
install_man = $(foreach page,$(1),install -Dm644 $(page) $(call man_target,$(page)) &&) :

# Debian's packages and others have places of their own for zsh.
ZSH_FUNCTIONS = $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
COMPLETIONS = $(SHARE)/bash-completion/completions/enlite $(SHARE)/zsh/$(ZSH_FUNCTIONS)/_enlite \
	$(SHARE)/fish/vendor_completions.d/enlite.fish

$(B)/enlite-guest: $(patsubst %.c,$(B)/plain/%.o,$(wildcard guest/tools/*.c))
	$(call say,LD,$@)
	$(Q)$(CC_plain) $(FLAGS_plain) $(HARDENED_LINK) -o $@ $^ -ljansson

.PHONY: install uninstall install-guest deb package-test
install: $(PROGRAMS)
	$(Q)install -d $(BINDIR)
	$(Q)install -m755 $(PROGRAMS) $(BINDIR)
	$(Q)$(call install_man,$(HOST_MAN))
	$(Q)install -d $(SHARE)/doc/enlite/adr
	$(Q)install -m644 $(HOST_DOCS) $(SHARE)/doc/enlite
	$(Q)install -m644 docs/adr/*.md $(SHARE)/doc/enlite/adr
	$(Q)install -Dm644 packaging/completion/enlite.bash $(word 1,$(COMPLETIONS))
	$(Q)install -Dm644 packaging/completion/_enlite $(word 2,$(COMPLETIONS))
	$(Q)install -Dm644 packaging/completion/enlite.fish $(word 3,$(COMPLETIONS))
	$(Q)[ -z "$(SYSTEMD_UNITS)" ] || { install -d $(UNITDIR) && install -m644 $(SYSTEMD_UNITS) $(UNITDIR); }

uninstall:
	$(Q)rm -f $(PROGRAMS:$(B)/%=$(BINDIR)/%) $(foreach page,$(HOST_MAN),$(call man_target,$(page))) \
		$(COMPLETIONS) $(SYSTEMD_UNITS:packaging/systemd/%=$(UNITDIR)/%)
	$(Q)rm -rf $(SHARE)/doc/enlite

# What the modules are built from, laid out as the tree is.
install-guest: $(B)/enlite-guest
	$(Q)packaging/guest/sources $(GUEST_SRC) $(VERSION)
	$(Q)install -Dm644 packaging/guest/kernel-bus.conf $(DESTDIR)/usr/lib/modprobe.d/enlite-guest.conf
	$(Q)install -Dm644 packaging/guest/own-bus.conf $(DESTDIR)/usr/share/enlite-guest/own-bus.conf
	$(Q)install -Dm755 packaging/guest/initramfs-hook $(DESTDIR)/usr/share/initramfs-tools/hooks/enlite-guest
	$(Q)install -Dm755 $(B)/enlite-guest $(SBINDIR)/enlite-guest
	$(Q)$(call install_man,$(GUEST_MAN))

deb: | $(B)/.deps
	$(Q)packaging/deb $(VERSION)

package-test: | $(B)/.deps
	$(Q)tests/run package
