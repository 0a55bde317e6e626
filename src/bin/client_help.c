/* What --help prints. */
#include "bin/client.h"

static const struct {
    qr_client_verb verb;
    const char *usage, *what, *examples;
} pages[] = {
    {QR_CLIENT_PUT, "quorate put KEY [VALUE]",
     "Writes VALUE under KEY. Without VALUE it is read from standard input, to its end.\n"
     "Prints OK when a majority of the members has it on disk.",
     "  quorate put /service/db/leader node-1\n"
     "  quorate put config --prev-kv < config.json\n"
     "  quorate put -- -key value      (a key that begins with a dash)\n"},
    {QR_CLIENT_GET, "quorate get KEY [END]",
     "Prints KEY and its value, one line each; with END all keys from KEY up to, not including, END.\n"
     "A key that is not there prints nothing and is no error.",
     "  quorate get /service/ --prefix --keys-only\n"
     "  quorate get config --rev 41 --print-value-only\n"
     "  quorate get '' --from-key --sort-by MODIFY --order DESCEND --limit 10\n"},
    {QR_CLIENT_DEL, "quorate del KEY [END]",
     "Deletes KEY; with END all keys from KEY up to, not including, END. Prints how many were deleted.",
     "  quorate del /service/db/leader --prev-kv\n"
     "  quorate del /tmp/ --prefix\n"},
    {QR_CLIENT_TXN, "quorate txn < FILE",
     "Reads a transaction from standard input, as etcdctl writes it: comparisons, an empty line, the "
     "operations\n"
     "if all of them hold, an empty line, the operations if not, and an empty line or the end. All happens "
     "at\n"
     "once or not at all. Prints SUCCESS or FAILURE and what each operation gave.\n"
     "\n"
     "  comparison  TARGET(\"KEY\") OP \"VALUE\"\n"
     "              TARGET: ver or version, c or create, m or mod, val or value, lease; OP: = != < >\n"
     "  operation   put KEY VALUE, get KEY [END], del KEY [END], with the flags of these verbs",
     "  printf 'ver(\"lock\") = \"0\"\\n\\nput lock me\\n\\nget lock\\n\\n' | quorate txn\n"},
    {QR_CLIENT_COMPACT, "quorate compact REVISION",
     "Forgets what is not visible at REVISION or after. Reads below it fail from then on.",
     "  quorate compact 1000\n"},
    {QR_CLIENT_STATUS, "quorate status",
     "Asks the endpoints and every member that they name, and prints a table: MEMBER and ID; ROLE (leader,\n"
     "follower, learner, or no leader: it knows none); STATE as seen from here; VERSION; TERM; APPLIED, the "
     "index\n"
     "that its state has; LAG, how many entries that is behind the newest known; DB SIZE, the memory of the\n"
     "store; TIME of one connection and call; ENDPOINT. Below it: how many voters are alive and how many "
     "more\n"
     "may be lost, the leader, alarms, and what went wrong.\n\n"
     "A second table tells what our own members say of themselves: KEYS and LIVE, their bytes; REVISIONS "
     "that "
     "can\n"
     "be read and the bytes of HISTORY behind them; LOG and newest CHECKPOINT on the disk; DISK (how long 99 "
     "of "
     "100 syncs take at most; slow or full);\n"
     "TRANSFER, how much of a checkpoint has come from another member or has gone to it; WATCHES, how many "
     "keys or\n"
     "ranges clients watch there, and by how many revisions the slowest is behind.\n\n"
     "The exit status is 0 when all is well, 1 when something is missing but the cluster serves (a member "
     "does\n"
     "not answer, has no leader or is more than 5000 entries behind; an alarm), 2 when it cannot serve: too "
     "few\n"
     "voters, no leader, or nobody answered. With --only: 0 when all endpoints answered, else 1.",
     "  quorate status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379\n"
     "  quorate status -o json\n"
     "  quorate status --only --timeout 1s         (is the member of this machine alive?)\n"},
    {QR_CLIENT_MEMBER,
     "quorate member [list]\n"
     "       quorate member add NAME --peer-urls LIST [--voter]\n"
     "       quorate member promote MEMBER\n"
     "       quorate member remove MEMBER\n"
     "       quorate member update MEMBER --peer-urls LIST\n"
     "       quorate member replace OLD NEW [--peer-urls LIST]",
     "Who belongs to the cluster. MEMBER is an id, or the name of a member that has started once.\n"
     "\n"
     "  list      Prints the members: id, started or not, name, peer URLs, client URLs, learner or not.\n"
     "  add       Tells the cluster of a new member and prints the command line that starts it. It comes as "
     "a\n"
     "            learner: it gets everything and counts for nothing, so the cluster is as safe as before.\n"
     "  promote   Gives a learner that has caught up a vote.\n"
     "  remove    Takes a member out. It ends by itself and its data folder is of no use any more. Refused "
     "when\n"
     "            fewer than a majority of the voters left would be alive.\n"
     "  update    Gives a member another peer URL. Do this before it moves there.\n"
     "  replace   Takes OLD out and gives NEW, a learner that has caught up, its vote, in one step: at no "
     "time\n"
     "            is a vote missing. With --peer-urls NEW is the name of a member to add; then this waits "
     "until\n"
     "            it was started and has caught up.\n"
     "\n"
     "One change at a time: a second one waits, or is refused (\"too many requests\"). A change that was cut "
     "off may be asked for "
     "again.",
     "  quorate member add m4 --peer-urls http://10.0.0.4:2380\n"
     "  quorate member promote m4 --wait 5m\n"
     "  quorate member replace m2 m5 --peer-urls http://10.0.0.5:2380\n"
     "  quorate member remove 8e9e05c52164694d\n"},
    {QR_CLIENT_MOVE_LEADER, "quorate move-leader MEMBER",
     "Makes MEMBER (an id, or a name) the leader. It must be a voter. The call goes to the present leader,\n"
     "which is found through --endpoints. Writes pause for about one round trip.",
     "  quorate move-leader m2\n"},
    {QR_CLIENT_BLACKBOX, "quorate blackbox pull FILE [FOLDER...]",
     "collect what the members have recorded of the newest past: every event that their consensus was told.\n"
     "Asks every member of the cluster that can be reached, beginning with --endpoints; members that cannot\n"
     "are left out, and named. With FOLDERs reads these data folders instead, of members that run or not.\n"
     "'quorate replay FILE' tells the story.",
     "  quorate blackbox pull incident.box\n"
     "  quorate blackbox pull incident.box /var/lib/quorate/a /var/lib/quorate/b\n"},
    {QR_CLIENT_BACKUP, "quorate backup FILE",
     "Copies the whole state of the cluster as one member has it now, keys, history and all else, into "
     "FILE,\n"
     "while the cluster goes on. The copy is read back and checked, block by block and by the digest of its\n"
     "state, before it gets its name; until then it is FILE.part. 'quorate restore' makes a new cluster of "
     "it.\n"
     "The endpoints are tried in turn until one begins to answer. Prints index, revision and keys.",
     "  quorate backup /backups/quorate-$(date +%F)\n"
     "  quorate backup --endpoints 127.0.0.1:22379,127.0.0.1:32379 today.backup\n"},
    {QR_CLIENT_WATCH,
     "quorate watch KEY [END] [-- COMMAND...]\n"
     "       quorate watch -i",
     "Prints what happens to KEY, or with END to all keys from KEY up to, not including, END: PUT or DELETE, "
     "the key\n"
     "and its value, until it is ended. With COMMAND that is run for each event, one after the other, with\n"
     "ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE set (the last two in "
     "double\n"
     "quotes, as etcdctl has them). When its member is gone it goes on with the next endpoint, behind the "
     "last event:\n"
     "nothing is missed and nothing told twice. What was compacted meanwhile is lost, which ends it with "
     "status 1.\n"
     "\n"
     "With -i there may be 64 at once, on one connection. They are told by lines on standard input:\n"
     "\n"
     "  watch KEY [END] [flags] [-- COMMAND...]  begins one. 'watch N begins' tells its number. The flags of "
     "the\n"
     "                                           command line hold for each.\n"
     "  cancel N                                 ends it.\n"
     "  exit                                     ends all. At the end of the input they go on.\n"
     "\n"
     "Words are separated by spaces and may be quoted as in 'quorate txn'.",
     "  quorate watch /service/ --prefix --prev-kv\n"
     "  quorate watch config --rev 41 -o json\n"
     "  quorate watch config -- sh -c 'systemctl reload thing'\n"},
    {QR_CLIENT_LEASE,
     "quorate lease grant SECONDS\n"
     "       quorate lease revoke ID\n"
     "       quorate lease timetolive ID [--keys]\n"
     "       quorate lease list\n"
     "       quorate lease keep-alive ID [--once]",
     "A lease lives as long as it is renewed; the keys that were put with it (put --lease ID) are deleted "
     "with it.\n"
     "\n"
     "  grant       Makes one that lives for SECONDS unless it is renewed, and prints its id.\n"
     "  revoke      Ends it now, with its keys.\n"
     "  timetolive  Prints how long it still has to live.\n"
     "  list        Prints the ids of all leases.\n"
     "  keep-alive  Renews it three times in its life until it is ended, or once.",
     "  quorate lease grant 60\n"
     "  quorate put /service/web/node-1 up --lease 694d81417acd4754\n"
     "  quorate lease keep-alive 694d81417acd4754\n"},
    {QR_CLIENT_LOCK, "quorate lock NAME [COMMAND...]",
     "Waits until nobody else holds the lock NAME, takes it, and prints its key and a fencing token: a "
     "number that is\n"
     "greater for each later holder. Whoever writes to other places under the lock hands the token on, and "
     "these\n"
     "places refuse a smaller one than they have seen (doc/guides/locks-and-elections.md). The lock is given "
     "back at\n"
     "the end of COMMAND, or when this program is told to end. It is lost when no member could be reached "
     "for the\n"
     "--ttl, or somebody deleted its key; then COMMAND gets TERM, and KILL 5 seconds later, and the status "
     "is 1.\n"
     "COMMAND finds ETCD_LOCK_KEY, ETCD_LOCK_REV (as etcdctl sets it) and QUORATE_LOCK_TOKEN set, and the "
     "exit\n"
     "status is its own. Nothing is printed then.",
     "  quorate lock nightly -- rsync -a /data backup:/data\n"
     "  quorate lock nightly --ttl 60 sh -c 'write-with-token \"$QUORATE_LOCK_TOKEN\"'\n"
     "  quorate lock deploy                        (held until Ctrl-C)\n"},
    {QR_CLIENT_ELECT,
     "quorate elect NAME VALUE\n"
     "       quorate elect NAME --listen",
     "Stands in the election NAME with VALUE, waits until it leads, and prints the key, VALUE and the "
     "fencing token.\n"
     "It leads until it is told to end, or lost it: no member could be reached for the --ttl, or its key was "
     "deleted, "
     "status 1. "
     "With\n"
     "--listen: prints key and value of the leader, and again whenever that changes.",
     "  quorate elect primary node-1\n"
     "  quorate elect primary --listen\n"},
    {QR_CLIENT_ACROSS,
     "quorate across get GROUP:KEY...\n"
     "       quorate across put GROUP:KEY=VALUE...\n"
     "       quorate across move AMOUNT GROUP:KEY GROUP:KEY\n"
     "       quorate across sweep",
     "One transaction over keys of several clusters; GROUP counts the clusters of --endpoints, from 1. All "
     "of "
     "it\n"
     "happens or nothing, and nobody who reads across sees a part of it. No death of a client or of any one "
     "member\n"
     "holds the others up for longer than 2 seconds (doc/design/groups.md). Such keys are written by across "
     "alone.\n"
     "\n"
     "  get    Prints what all these keys hold at one moment.\n"
     "  put    Writes all these values.\n"
     "  move   Takes AMOUNT from the number that the first key holds, and adds it to that of the second.\n"
     "  sweep  Ends what dead clients have left behind, until it is told to end.",
     "  E=127.0.0.1:2379+127.0.0.1:4379\n"
     "  quorate across --endpoints $E put 1:alice=100 2:bob=0\n"
     "  quorate across --endpoints $E move 30 1:alice 2:bob\n"
     "  quorate across --endpoints $E get 1:alice 2:bob\n"},
    {QR_CLIENT_ENDPOINT, "quorate endpoint health|status|hashkv",
     "Asks each endpoint by itself.\n"
     "\n"
     "  health  Does it answer a linearizable read? Status 1 if one does not.\n"
     "  status  Endpoint, member, version, size, leader or follower, learner or voter, term, index and "
     "applied "
     "index.\n"
     "  hashkv  A hash over the history up to --rev (default: the newest): equal on all members at equal "
     "revisions.\n"
     "\n"
     "'quorate status' finds the members by itself and judges the whole cluster.",
     "  quorate endpoint health --endpoints 127.0.0.1:2379,127.0.0.1:22379\n"
     "  quorate endpoint hashkv --rev 100\n"},
    {QR_CLIENT_ALARM, "quorate alarm list|disarm",
     "The alarms that stand: NOSPACE (the quota is used up, and puts are refused until it is disarmed; or a "
     "disk\n"
     "is full) and CORRUPT (states differ). disarm takes them all back; one whose cause lasts comes again.",
     "  quorate alarm list\n"
     "  quorate alarm disarm\n"},
};

void qr_client_help(qr_client_verb verb, FILE *to)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (pages[i].verb != verb)
            continue;
        fprintf(to, "usage: %s [flags]\n\n%s\n\nflags:\n", pages[i].usage, pages[i].what);
        qr_client_print_flags(verb, to);
        if (verb == QR_CLIENT_STATUS) {
            fprintf(to, "\nexamples:\n%s", pages[i].examples);
            continue;
        }
        fprintf(to,
                "\nexit status: 0 done, 1 refused by the server or no endpoint answered (a sentence on "
                "standard error\n"
                "says why), 2 the command line is wrong.\n\nexamples:\n%s",
                pages[i].examples);
    }
}
