//! What the help of each command says beside its options: examples, what columns mean, exit statuses.

pub(super) const EXAMPLES: &str = "\
A first look, on this machine alone:
  emberfs up                              three metadata and three storage servers, as processes
  emberfs cp -r photos ember:/photos      copy a directory into it
  emberfs ls ember:/photos
  emberfs status                          what is wrong, if anything is
  emberfs down                            stop it; `up` brings everything back

Which cluster a command is about is said by --cluster (a name from clusters.toml, or
host:port[,host:port]), by $EMBERFS_CLUSTER, or by there being only one.

Exit status: 0 done; 1 failed, be it in part; 64 wrong usage; 130 `cp` or
`bench` interrupted.
Of `status`: 0 healthy, 1 degraded, 2 unavailable, 3 cannot tell. Of `up`, once all runs: as
of `status`. Of `check`: 0 whole, 1 something is wrong, 3 cannot tell.";

pub(super) const UP_EXAMPLES: &str = "\
Examples:
  emberfs up                                what is stopped or missing of the only cluster, or a first one is made
  emberfs up --mount ~/ember                a cluster, mounted
  emberfs up --meta 1 --storage 1 --replicas 1
                                            one of each, one copy: for a laptop
  emberfs up --dir /data/ember --name big   elsewhere, under a name of its own
`emberfs down` stops it, and the next `emberfs up` brings the same files back. To be rid of it for good, stop it, and
remove DIR and its entry in clusters.toml (`emberfs cluster list`; `emberfs config show` says where that file is).

--meta, --storage, --disks and --replicas are decided once, when it is made. Servers are processes of this machine, and
a disk is a directory in DIR: who loses what DIR lies on loses all copies. With three metadata members one may be dead,
or have lost its directory, which is said: the others go on.

It waits for all that passes by itself, a server that starts, say. Exit status, once all runs, as of `emberfs status`:
0 healthy; 1 degraded, or failed; 2 unavailable. What is wrong then is said.";

pub(super) const DOWN_NOTES: &str = "\
Examples:
  emberfs down                  the only cluster that is known
  emberfs down --cluster big    that of this name
  emberfs down --timeout 300    where a mount has much to write

It is the cluster in --dir, or that which --cluster or $EMBERFS_CLUSTER names, or the only one that is known, where
`emberfs up` has made that on this machine. All that `up --mount` has mounted is unmounted first, and has --timeout to
write what it has; where it is in use, or has not written all by then, nothing is stopped, and what to do is said. A
mount made otherwise stays, and waits until the cluster is up again.

Bytes of a mount are lost where --force or its own `-o deadline` gives them up, or its daemon has died. That is said,
and holds nothing up: the servers are stopped all the same, and the exit status is 1.

Exit status: 0 stopped, or nothing ran; 1 not stopped, or not all of it, or bytes of a mount are lost.";

pub(super) const MOUNT_EXAMPLES: &str = "\
Examples:
  emberfs mount ~/ember
  emberfs --cluster host-1:7000 mount /mnt/data -o ro,allow_other
  emberfs mount /mnt/data -o deadline=60

It returns when it is mounted; a daemon serves it from then on. `emberfs umount PATH` ends both.

Options, with commas between them:
  ro                     nothing can be changed by it
  allow_other            other users may use it too; root's mounts are always so
  deadline=SECONDS       a call that waits for longer fails, and what does not get on for so long when it is unmounted is
                         lost; without it both wait for as long as the cluster is away. A program that waits can be
                         killed; Ctrl-C ends it too, unless it changes a name, a length or attributes, or appends
  default_permissions    the kernel looks at mode bits too, so that those of pipes, sockets and devices hold, which it opens
                         by itself; each directory of a path is asked about once more for that
  direct_io              no page cache
  noexec, noatime, …     as mount(8) has them; nosuid and nodev hold, unless root says `suid` or `dev`
  log=FILE               where the daemon logs; else root's in /var/log/emberfs, others' in ~/.local/state/emberfs
  log_level=LEVEL        how much: off, error, warn, info, debug, trace
  metrics=IP:PORT        where the daemon tells Prometheus what it counts, on loopback only; without it nowhere
  remount                with others: changes `ro` and the like of a mount that is there

Once /sbin/mount.emberfs is installed, also:
  mount -t emberfs host-1:7000,host-2:7000:/ /mnt/data
of which mount(8) hides `suid` and `dev`: there they are `allow_suid` and `allow_dev`. Its `-o remount` calls
/sbin/mount.fuse.emberfs, the same program by another name (`deploy/quickstart` as root installs both).";

pub(super) const UMOUNT_NOTES: &str = "\
Examples:
  emberfs umount ~/ember
  emberfs umount ~/ember --timeout 300    where it has much to write
  emberfs umount ~/ember --force          also if programs use it; what it cannot write in 30 s is lost

Where a program has something of it open, waits for the cluster in it, or works in a directory of it, nothing is
unmounted. Else nobody finds files by PATH any more, and the mount's daemon writes what it has. The daemon goes on until
it has written all, also without this command: called again, that waits for it again. What it waits for is said. A mount
with `-o deadline` gives up by itself what does not get on for so long: that is lost, and named.

Exit status: 0 all is safe, or its daemon is dead or out of sight, which is said; 1 not unmounted, as it is in
use or no EmberFS, not all written yet, or bytes are lost.";

pub(super) const META_NOTES: &str = "\
Every member has all names; one leads, which orders all changes, and a majority must be there for that. They are asked
one by one, so this says how they stand also where none leads.

STATE is `leads`; `follows`; `no leader`, which knows of none now: an election takes about a second; or `silent`, which
does not answer (with --json, `why`). TERM counts elections. LOG FROM and LOG TO are the entries in its log, APPLIED the
last that its state has taken in, BEHIND how many the leader has committed beyond that: a member that was away catches
up, by the log, or where that begins later, by a copy of the state.";

pub(super) const NODE_NOTES: &str = "\
BOOT is the number of its latest start, as far as the metadata servers have heard: all servers' starts are numbered
together, in order. DISKS counts those in use. HEARD MS AGO is since when nothing was heard of it: it speaks about once
a second, and is missing once its lease is over, after about 3 s; `-` is never, since the leader began.

DOMAIN is the number of what a server fails with, its rack say: `domain` of its configuration. No two replicas of
a chain lie in one. A server that is given none is one of its own, with a number from 2147483648.";

pub(super) const DISK_NOTES: &str = "\
TARGETS are its parts that are, or can become, replicas of chains. CAPACITY is what chunks may take, USED what they do;
disks of one FILE SYSTEM share its room; `-` is not heard yet.

STATE is `in use`; `formatted`, which a server has and nobody admitted: `emberfs disk add` does; or `not seen`, admitted
and not heard of: its server is away, or runs without it, which its log explains. DAMAGED CHUNKS counts those with
blocks that could not be read or had a wrong sum since its server started: `emberfs check` finds which files.";

pub(super) const TARGET_NOTES: &str = "\
A target is a part of a disk that holds one replica of every chunk of its chain, or is `free` for the next chain table.

STATE is what the metadata servers let it do:
  serving   has all that was written: it is read, and gets every write
  syncing   is being brought up to date by its predecessor, and gets every write
  waiting   is back, and not up to date: its turn to sync comes
  lastsrv   went away as the last that served: it alone, or with others that did, has all, and the chain waits for it
  offline   is away, or cannot be read
REPORTED is what its server says of it: `up-to-date`; `online`, which lacks something; `offline`, where the disk cannot
be read; `-` where nothing was heard.";

pub(super) const CHAIN_NOTES: &str = "\
A chain is the replicas of one part of all chunks. MEMBERS are its targets as TARGET:STATE, in order: the head, which
takes writes, stands first, each passes them on to the next, and the last that serves is the tail. Who does not serve
stands behind those who do. `emberfs target list --help` explains the states.

VERSION grows with every change of the members. With fewer than MIN SERVING that serve, writes wait; reads go on while
one serves.";

pub(super) const CLIENT_NOTES: &str = "\
Whoever has a session: each mount, each running command, each program that uses the library. WHAT is what it calls
itself, SINCE when the session began. HEARD MS AGO: it speaks every few seconds, and one that is silent for too long
loses its session; the lengths of its OPEN FOR WRITING files are then found out from the chains.";

pub(super) const EVICT_NOTES: &str = "\
Examples:
  emberfs client list
  emberfs client evict 17

For a client whose machine is gone for good, or that must be done with now: its files open for writing are closed, their
lengths found out from the chains, and what others waited for goes on. What it was acknowledged stands.

One that lives is not locked out: it hears of it, and opens a session anew. A mount goes on with the files it has open,
and with what it has not written yet; a program that uses the library opens its files for writing again.";

pub(super) const STATUS_NOTES: &str = "\
Examples:
  emberfs status
  emberfs status --json | jq -r .status
  emberfs --cluster host-1:7000 status --timeout 3

What is wrong comes first, a line each, the worst on top and causes before what they do: `unavailable` is what cannot be
read or written, `degraded` what is missing while all can be. The last line sums up; RAW is with all copies.

Before it stands what clients had done in the last five seconds: requests for chunks and their bytes, by all storage
servers together, and requests for names; and of the disks that did something the one that is waited for longest.
Of the requests that it carried out, 99 of 100 took no longer than is said: a sync makes writes durable, several at
once. With --json it is all in `rates`. What servers count beyond that they tell Prometheus: see docs/metrics.md.

Each metadata member is asked for itself: one that does not answer is `degraded`, and `unavailable` is that none leads,
as too few of them are there. `emberfs meta list` shows them.

Exit status: 0 healthy; 1 degraded; 2 unavailable; 3 cannot tell, as no metadata server answers.";

pub(super) const STAT_NOTES: &str = "\
Examples:
  emberfs stat ember:/models/model.pt
  emberfs stat ember:/models/model.pt --json | jq .chunks

A symbolic link is shown itself. Of a file, data.* is its layout, and each `chunk` line its chain with the members, head
first, as TARGET:STATE on SERVER (`emberfs target list --help` explains the states). Of a directory, layout.* is what it
says of new files, `-` what it leaves to the cluster: `emberfs layout get` shows what comes of that.";

pub(super) const CAT_NOTES: &str = "\
Examples:
  emberfs cat ember:/logs/today | less
  emberfs cat ember:/dump.1 ember:/dump.2 | mysql all";

pub(super) const MV_NOTES: &str = "\
Examples:
  emberfs mv ember:/new.pt ember:/model.pt    a file that has the name is replaced, and seen old or new, never half
  emberfs mv ember:/runs/7 ember:/archive/    into a directory";

pub(super) const RM_NOTES: &str = "\
Examples:
  emberfs rm ember:/old.pt
  emberfs rm -r ember:/runs/7     with all that is in it, in one step
  emberfs rm -f ember:/maybe      also if it is not there

Its space is free a little later, once nobody has it open.";

pub(super) const INIT_NOTES: &str = "\
Example, on the machine of the first metadata server:
  emberfs-meta sample-config > meta.toml       say in it where it keeps its data, and where it listens
  emberfs cluster init --config meta.toml      prints the id; what comes next is said
Where there are three, or five, `members` of each one's file names all, the same in each. The others join by
  emberfs-meta format --cluster ID --config meta.toml
each on its machine, before any is started.
On one machine, to try it, `emberfs up` does all that.";

pub(super) const TABLE_NOTES: &str = "\
Examples:
  emberfs chain-table create                   three copies of each chunk, over all free targets
  emberfs chain-table create --replicas 1      one, where there is one server
  emberfs chain-table create --replicas 3 --min-serving 1 --chunk-size 4096
  emberfs chain-table create --node fast-1 fast-2 fast-3     a table of these servers' disks alone, and next
  emberfs layout set ember:/scratch --table 2                the directory whose new files go to it
  emberfs chain-table create --default                       over disks that were added: all new files go there

Before the first there is no room for files. New files go to the default table, unless their directory says another: the
first is it until one is made with --default. Those that are there stay where they are. Copies lie on servers that do
not fail together (`domain` of their configuration), so there must be as many such as --replicas.";

pub(super) const TABLE_SHOW_NOTES: &str = "\
Examples:
  emberfs chain-table show
  emberfs chain-table show --evenness
  emberfs chain-table show --evenness --json | jq '[.evenness[].times_ideal] | max'

A line a chain: its PLACE in the table, and its MEMBERS as TARGET:STATE, head first (`emberfs chain list --help`).
DEFAULT is the table that new files go to where their directory says nothing else.

With --evenness a line for each disk and server that carries something of a table: TARGETS, one for each chain that it is
in, and of how many it is the HEAD now, which takes the writes. When another dies, the rest of its chains take over what
it did: LEAST and MOST are the smallest and the largest part of another's load that would come here, as a part of 1, and
IDEAL the most, were all spread as evenly as whole chains can be. TIMES IDEAL is how far it is from that where that is
worst: 1 cannot be better; much more is a disk to watch. `-` with one copy, where nobody takes over.";

pub(super) const LAYOUT_NOTES: &str = "\
Examples:
  emberfs layout get ember:/runs                                 what new files in it get, and who says so
  emberfs layout set ember:/runs --chunk-size 4096 --stripe 8    large chunks, each file over eight chains
  emberfs layout set ember:/scratch --table 2                    to other disks: `emberfs chain-table show` lists tables
  emberfs layout set ember:/runs --stripe default                as the cluster has it, again
  emberfs layout set ember:/runs/7 --inherit                     as ember:/runs has it now

A file's layout is decided when it is made, by its directory, else by the cluster, and never changes: to move files into
another, copy them. What a program says itself goes first.

A new directory begins with the settings of the one that it is made in; from then on they are its own. So a change goes
to no directory that is there already: set it there too, or say --inherit there. A renamed directory keeps its settings.
Only its owner and root may change them.

Large chunks suit large files that are read in order, small ones small random writes. A narrow stripe keeps small files
together; a wide one lets one file use many disks. A table decides on which disks, and how many copies there are.";

pub(super) const COMPLETIONS_NOTES: &str = "\
Examples:
  emberfs completions bash > ~/.local/share/bash-completion/completions/emberfs
  emberfs completions zsh > ~/.zfunc/_emberfs       with `fpath=(~/.zfunc $fpath)` before `compinit` in ~/.zshrc
  emberfs completions fish > ~/.config/fish/completions/emberfs.fish
The directory must be there (`mkdir -p`); a new shell has it.";

pub(super) const LS_NOTES: &str = "\
Examples:
  emberfs ls                             names of the root, in order
  emberfs ls -l ember:/models
  emberfs ls ember:/models --json | jq -r '.entries[] | select(.size > 1e9) | .name'

With --json, a name that is no text (UTF-8) stands there a second time as `name_bytes`, in hexadecimal; of
`stat` and `check` it is `path_bytes`.";

pub(super) const DISK_EXAMPLES: &str = "\
Examples, on the disk's machine:
  emberfs disk format /data/disk-3    an empty directory: prints the disk's id
  (enter it into `disks` of the server's configuration, and restart the server)
  emberfs disk add 0123456789abcdef0123456789abcdef
  emberfs chain-table create --default          new files go to it from then on";

pub(super) const CP_EXAMPLES: &str = "\
Examples:
  emberfs cp model.pt ember:/models/          in
  emberfs cp -r ember:/runs/7 .               out
  emberfs cp -r ember:/runs/7 ember:/runs/8   within
  mysqldump all | emberfs cp /dev/stdin ember:/dump

What cannot be copied is said and passed over, and the exit status is 1 then; only where the destination has no room,
or the cluster does not answer in --timeout, nothing more is begun. A file whose copy fails is removed again if it is
new, and said to be incomplete if it was there before. Ctrl-C, SIGTERM and SIGHUP do the same with those that are
under way; a second Ctrl-C or SIGTERM leaves them as they are.

Permission bits are kept, less the umask; owners, times and hard links are not. A link that is found is copied, one
that is named is followed, unless with -r. Holes stay holes. A file of this machine is on its disk when it is done.";

pub(super) const CHECK_EXAMPLES: &str = "\
Every chunk is read from every replica that serves it, its checksums are compared, then the replicas with each
other. It may run while others write: what differs is read again before it is called a difference.

Examples:
  emberfs check                  the whole cluster
  emberfs check ember:/models --json

Exit status: 0 every replica is whole; 1 something is corrupt, missing, different or lost; 3 something could
not be read, as a replica does not serve or a server does not answer.";

pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  emberfs config show                              which cluster commands are about, and why
  emberfs config show /etc/emberfs/storage.toml    every key of a server's file";
