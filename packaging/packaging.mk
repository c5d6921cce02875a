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
SBIN_PROGRAMS := $(B)/enlited
# @PREFIX@ in them is replaced.
SYSTEMD_UNITS = $(wildcard packaging/systemd/*.service packaging/systemd/*.socket packaging/systemd/*.target)

BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
SHARE = $(DESTDIR)$(PREFIX)/share
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
# dkms, modprobe and initramfs-tools look there, whatever the prefix.
GUEST_SRC = $(DESTDIR)/usr/src/enlite-guest-$(VERSION)

# What runs in guests; all other man pages are of the host's half.
GUEST_TOOLS := $(B)/enlite-guest $(B)/enlite-agent
GUEST_MAN = $(wildcard $(GUEST_TOOLS:$(B)/%=docs/man/%.8))
HOST_MAN = $(filter-out $(GUEST_MAN),$(wildcard docs/man/*.[1-8]))
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
install: $(PROGRAMS) $(SBIN_PROGRAMS)
	$(Q)$(foreach program,$(PROGRAMS),install -Dm755 -t $(BINDIR) $(program) &&) :
	$(Q)$(foreach program,$(SBIN_PROGRAMS),install -Dm755 -t $(SBINDIR) $(program) &&) :
	$(Q)$(call install_man,$(HOST_MAN))
	$(Q)install -d $(SHARE)/doc/enlite/adr
	$(Q)install -m644 $(HOST_DOCS) $(SHARE)/doc/enlite
	$(Q)install -m644 docs/adr/*.md $(SHARE)/doc/enlite/adr
	$(Q)install -Dm644 -t $(SHARE)/doc/enlite/pictures docs/pictures/*.png
	$(Q)install -Dm644 packaging/completion/enlite.bash $(word 1,$(COMPLETIONS))
	$(Q)install -Dm644 packaging/completion/_enlite $(word 2,$(COMPLETIONS))
	$(Q)install -Dm644 packaging/completion/enlite.fish $(word 3,$(COMPLETIONS))
	$(Q)$(foreach unit,$(SYSTEMD_UNITS),install -Dm644 -t $(UNITDIR) $(unit) && \
		sed -i 's|@PREFIX@|$(PREFIX)|g' $(UNITDIR)/$(notdir $(unit)) &&) :

uninstall:
	$(Q)rm -f $(PROGRAMS:$(B)/%=$(BINDIR)/%) $(SBIN_PROGRAMS:$(B)/%=$(SBINDIR)/%) $(foreach page,$(HOST_MAN),$(call man_target,$(page))) \
		$(COMPLETIONS) $(SYSTEMD_UNITS:packaging/systemd/%=$(UNITDIR)/%)
	$(Q)rm -rf $(SHARE)/doc/enlite

# What the modules are built from, laid out as the tree is.
install-guest: $(GUEST_TOOLS)
	$(Q)packaging/guest/sources $(GUEST_SRC) $(VERSION)
	$(Q)install -Dm644 packaging/guest/kernel-bus.conf $(DESTDIR)/usr/lib/modprobe.d/enlite-guest.conf
	$(Q)install -Dm644 packaging/guest/own-bus.conf $(DESTDIR)/usr/share/enlite-guest/own-bus.conf
	$(Q)install -Dm755 packaging/guest/initramfs-hook $(DESTDIR)/usr/share/initramfs-tools/hooks/enlite-guest
	$(Q)install -d $(SBINDIR)
	$(Q)install -m755 $(GUEST_TOOLS) $(SBINDIR)
	$(Q)$(call install_man,$(GUEST_MAN))

deb: | $(B)/.deps
	$(Q)packaging/deb $(VERSION)

package-test: | $(B)/.deps
	$(Q)tests/run package
