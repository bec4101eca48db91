# Sourced by contrib/test, contrib/deb and contrib/strangers: chroots of Debian suites, such as have another Python than
# this machine. Needs lib.sh, and `log`, the name of a file, of whoever sources it; contrib/test has a `logged` of its own.
# shellcheck shell=bash
#
# The mounts of a chroot are made in a mount namespace of their own, and its processes live in a process namespace: the
# kernel takes both down with the first process, however the run ends, and what removes a chroot never sees a mount.

# SUITE-pythonX.Y/ and the like is a chroot, SUITE/ has apt's index and the packages fetched so far.
CHROOTS=${WSGI_FCGI_CHROOTS:-$root/build/chroot}
# They are made anew after so many days, since testing and unstable change.
CHROOT_DAYS=7
# Where a version is looked for: first what people run now. The newest one: first where new versions arrive.
CHROOT_SUITES=(stable oldstable unstable testing)
CHROOT_SUITES_NEWEST=(unstable testing stable)
CHROOT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# machine_suite: prints the name of this machine's release of Debian.
machine_suite() (
    # shellcheck disable=SC1091
    . /etc/os-release 2>/dev/null || :
    [ "${ID-}" = debian ] && [ -n "${VERSION_CODENAME-}" ] ||
        die "this machine is not a Debian release: say for which one with --suite"
    printf '%s\n' "$VERSION_CODENAME"
)

# logged COMMAND...: the end of its output is shown when it fails, and the file that has all of it.
logged() {
    "$@" >>"$log" 2>&1 || {
        local status=$?
        tail -n 80 "$log" >&2
        say "all that was said is in $log" >&2
        return $status
    }
}

# chroot_prepare VERSION PACKAGE...: makes a chroot with Python VERSION ("3.13", or "newest"), its headers and the
# packages, or finds one that was made before. Sets chroot, the directory, and chroot_python, the version.
chroot_prepare() {
    local wanted=$1 suite suites=("${CHROOT_SUITES[@]}")
    shift
    [ "$wanted" != newest ] || suites=("${CHROOT_SUITES_NEWEST[@]}")
    chroot_find_mirror
    for suite in "${suites[@]}"; do
        chroot_lock "$suite"
        chroot_python=$(suite_python "$suite" "$wanted") || continue
        chroot=$CHROOTS/$suite-python$chroot_python
        if chroot_make "$suite" "python$chroot_python-dev" "$@"; then
            say "python$chroot_python of Debian $suite, in $chroot"
            return 0
        fi
        say "Debian $suite: python$chroot_python cannot be installed now"
    done
    die "no chroot for Python $wanted: what each Debian suite said is above"
}

# chroot_prepare_for USE SUITE PACKAGE...: makes a chroot of that suite with the packages, or finds one that was made
# before, of the name SUITE-USE (no dash in USE). Sets chroot, the directory.
chroot_prepare_for() {
    local use=$1 suite=$2
    shift 2
    chroot_find_mirror
    chroot_lock "$suite"
    mkdir -p "$CHROOTS/$suite/packages/partial"
    chroot=$CHROOTS/$suite-$use
    chroot_make "$suite" "$@" || die "no chroot of Debian $suite: what its tools said is above"
}

chroot_find_mirror() {
    chroot_check_machine
    chroot_mirror=${WSGI_FCGI_MIRROR:-$(machine_mirror)}
    [ -n "$chroot_mirror" ] ||
        die "apt on this machine has no source of Debian's packages; name a mirror with WSGI_FCGI_MIRROR=URL"
}

# chroot_lock SUITE: until this process ends, no other one uses what there is of the suite.
declare -A chroot_locked
chroot_lock() {
    local lock
    [ -z "${chroot_locked[$1]:-}" ] || return 0
    chroot_locked[$1]=yes
    mkdir -p "$CHROOTS"
    exec {lock}>"$CHROOTS/$1.lock"
    flock --nonblock "$lock" || {
        say "waiting for another run that uses $CHROOTS/$1"
        flock "$lock"
    }
}

# Mounting is for root, and not every container lets its root do it.
chroot_check_machine() {
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "a chroot needs root: run this as root, or install sudo"
    install_packages debootstrap debian-archive-keyring gpgv util-linux
    as_root unshare --mount --pid --fork true ||
        die "root may not make namespaces here, which a chroot needs: give the container CAP_SYS_ADMIN (--privileged)"
}

# The mirror from which apt on this machine has Debian's packages. The index tells, so it must have been fetched.
machine_mirror() {
    local format='$(ORIGIN)/$(LABEL) $(REPO_URI)'
    apt-get indextargets --format "$format" | grep -q '^Debian/' || as_root apt-get update -q >/dev/null
    apt-get indextargets --format "$format" 'Created-By: Packages' | sed -n 's,^Debian/Debian ,,p' | sed -n 1p
}

# suite_python SUITE VERSION: prints VERSION, or the newest one, when SUITE has python3.X-dev; else says what it has.
suite_python() {
    local suite=$1 wanted=$2 offered
    suite_update "$suite" || return 1
    offered=$(suite_apt "$suite" apt-cache search --names-only '^python3\.[0-9]+-dev$' |
        sed 's/^python\(.*\)-dev .*/\1/' | sort -V)
    [ "$wanted" != newest ] || wanted=${offered##*$'\n'}
    if [ -z "$wanted" ] || ! grep -qxF -- "$wanted" <<<"$offered"; then
        say "Debian $suite has these versions of Python:" ${offered:-none} >&2
        return 1
    fi
    printf '%s\n' "$wanted"
}

suite_update() {
    local dir=$CHROOTS/$1 said
    mkdir -p "$dir/lists/partial" "$dir/cache" "$dir/packages/partial" || return 1
    printf 'deb [signed-by=%s] %s %s main\n' "$CHROOT_KEYRING" "$chroot_mirror" "$1" >"$dir/sources.list"
    said=$(suite_apt "$1" apt-get update -q --error-on=any --allow-releaseinfo-change 2>&1) || {
        say "Debian $1: apt cannot fetch its index:" >&2
        printf '%s\n' "$said" >&2
        return 1
    }
}

# suite_apt SUITE COMMAND...: apt of this machine with its settings (a proxy, say), but with the index of SUITE alone.
suite_apt() {
    local dir=$CHROOTS/$1
    "$2" -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$dir/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$dir/cache" "${@:3}"
}

# chroot_make SUITE PACKAGE...: makes $chroot, unless it is there with these packages and not too old.
chroot_make() {
    local suite=$1 made=$chroot.made recipe="$chroot_mirror $*"
    shift
    if [ "$(cat "$made" 2>/dev/null)" = "$recipe" ] && [ -n "$(find "$made" -mtime "-$CHROOT_DAYS")" ]; then
        return 0
    fi
    rm -f "$made"
    # Within one file system: should somebody have mounted something there, it is not ours to remove.
    as_root rm -rf --one-file-system "$chroot" || return 1
    logged chroot_install "$suite" "$@" || return 1
    printf '%s' "$recipe" >"$made"
}

# Each command says whether to go on: within a condition bash does not end a function for one that fails.
chroot_install() {
    local suite=$1
    shift
    # debootstrap mounts as well, and leaves that behind when it is killed.
    as_root unshare --mount --pid --fork --kill-child \
        debootstrap --variant=minbase --force-check-gpg --keyring="$CHROOT_KEYRING" \
        --cache-dir="$CHROOTS/$suite/packages" "$suite" "$chroot" "$chroot_mirror" &&
        chroot_configure &&
        chroot_copy_sources &&
        in_chroot bash -c '. /src/contrib/lib.sh; apt_install "$@"' "$0" "$@"
}

chroot_configure() {
    # No documentation, and no waiting for the disk: a chroot that a power failure spoils is made anew.
    printf '%s\n' force-unsafe-io path-exclude={/usr/share/doc,/usr/share/man,/usr/share/locale}/'*' |
        as_root tee "$chroot/etc/dpkg/dpkg.cfg.d/wsgi-fcgi" &&
        # What apt on this machine is told about proxies, time-outs and dates.
        apt-config dump | { grep -E '^Acquire::(Check-|Force|Retries|http)' || :; } |
        as_root tee "$chroot/etc/apt/apt.conf.d/99wsgi-fcgi"
}

# The files of the working tree without what was built from them: the chroot's own tools build.
chroot_copy_sources() {
    as_root rm -rf --one-file-system "$chroot/src" &&
        as_root mkdir "$chroot/src" &&
        source_files | tar -C "$root" --null --verbatim-files-from --files-from=- --create |
        as_root tar -C "$chroot/src" --extract --no-same-owner
}

# Prints their names, each with a NUL.
source_files() {
    local name
    if [ -e "$root/.git" ] && command -v git >/dev/null; then
        git -c safe.directory="$root" -C "$root" ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' name; do
                # Deleted, but not yet for git.
                [ ! -e "$root/$name" ] || printf '%s\0' "$name"
            done
    else
        find "$root" \( -path "$root/build" -o -path "$root/.git" \) -prune -o ! -type d -printf '%P\0'
    fi
}

# in_chroot COMMAND...: runs it as root in $chroot, in an environment that has only what is named here.
in_chroot() {
    local name suite environment=()
    for name in http_proxy https_proxy no_proxy TERM; do
        [ -z "${!name:-}" ] || environment+=("$name=${!name}")
    done
    suite=$(basename "${chroot%-*}")
    as_root unshare --mount --pid --fork --kill-child \
        "$root/contrib/chroot-init" "$chroot" "$CHROOTS/$suite/packages" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "${environment[@]}" "$@"
}
