#include "config.h"

#include "top/live.h"

#include "base/clock.h"
#include "top/view.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { LEAST_ROWS = 4, PROBLEM_SIZE = FETCH_ERROR_SIZE + 100 };

struct live {
    struct fetch *fetch;
    const char *name;
    unsigned interval_ms;
    bool utf8;
    bool fetching;
    uint64_t next; /* clock_ns: when it is asked again */
    struct view view;
    struct page page;
    int attributes[PAGE_STYLES];
    /* Which request is selected, wherever it stands next time. */
    double pid, thread;
    char path[256];
    sigset_t signals; /* those that are blocked but while it waits */
    bool paused, help, quit;
    char problem[PROBLEM_SIZE]; /* "": the last look was good */
};

/* Mutable ended: handlers of signals set it, and nothing else does. */
static volatile sig_atomic_t ended;

static void end_cb(int number) {
    (void)number;
    ended = 1;
}

/* The documents. */

static void forget(const json_t **doc) {
    json_decref((json_t *)(uintptr_t)*doc);
    *doc = NULL;
}

static void select_number(struct live *l, int number) {
    const json_t *sorted[VIEW_RUNNING_MOST];
    int count = (int)view_running(&l->view, sorted);
    number = number >= count ? count - 1 : number < 0 && count ? 0 : number;
    l->view.selected = number;
    l->view.scroll = 0;
    if (number < 0)
        return;
    l->pid = doc_number(sorted[number], "pid", 0);
    l->thread = doc_number(sorted[number], "thread", 0);
    snprintf(l->path, sizeof l->path, "%s", doc_text(sorted[number], "path"));
}

/* The one that was selected has moved, or ended. */
static void select_again(struct live *l) {
    unsigned scroll = l->view.scroll;
    int number = view_find(&l->view, l->pid, l->thread, l->path);
    select_number(l, number < 0 ? 0 : number);
    if (number >= 0)
        l->view.scroll = scroll;
}

static void take(struct live *l) {
    struct slice body = l->fetch->reply.body;
    char error[FETCH_ERROR_SIZE];
    const json_t *doc = doc_read(body.p, body.n, error, sizeof error);
    if (!doc) {
        snprintf(l->problem, sizeof l->problem, "%s", error);
        return;
    }
    forget(&l->view.before);
    l->view.before = l->view.doc;
    l->view.doc = doc;
    l->problem[0] = '\0';
    select_again(l);
}

static void note_problem(struct live *l) {
    time_t now = time(NULL);
    struct tm tm;
    char at[16] = "";
    /* The first time counts, until it is over. */
    const char *since = strncmp(l->problem, "since ", 6) ? NULL : l->problem;
    if (since)
        snprintf(at, sizeof at, "%.8s", since + 6);
    else if (localtime_r(&now, &tm))
        snprintf(at, sizeof at, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(l->problem, sizeof l->problem, "since %s no answer, trying again: %s", at, l->fetch->error);
}

static void settle(struct live *l, enum fetch_state state) {
    l->fetching = state == FETCH_WAITS;
    if (state == FETCH_DONE)
        take(l);
    else if (state == FETCH_FAILED)
        note_problem(l);
}

static void begin(struct live *l) {
    l->next = clock_ns() + l->interval_ms * UINT64_C(1000000);
    if (!l->fetching)
        settle(l, fetch_begin(l->fetch));
}

/* The screen. */

static void choose_attributes(int attributes[static PAGE_STYLES]) {
    const char *no_color = getenv("NO_COLOR"); /* no-color.org */
    bool colors = has_colors() && !(no_color && *no_color) && start_color() == OK;
    attributes[PAGE_HEADING] = A_BOLD;
    attributes[PAGE_DIM] = A_DIM;
    attributes[PAGE_WARNING] = attributes[PAGE_BAD] = A_BOLD;
    if (!colors)
        return;
    short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    init_pair(PAGE_GOOD, COLOR_GREEN, background);
    init_pair(PAGE_WARNING, COLOR_YELLOW, background);
    init_pair(PAGE_BAD, COLOR_RED, background);
    attributes[PAGE_GOOD] = COLOR_PAIR(PAGE_GOOD);
    attributes[PAGE_WARNING] = COLOR_PAIR(PAGE_WARNING);
    attributes[PAGE_BAD] = COLOR_PAIR(PAGE_BAD) | A_BOLD;
}

/* Returns what follows the line. */
static const char *draw_line(const struct live *l, const char *p, const char *end, int row, int reverse) {
    attrset(l->attributes[PAGE_PLAIN] | reverse);
    move(row, 0);
    while (p < end && *p != '\n') {
        const char *first = p;
        while (p < end && (unsigned char)*p >= ' ')
            p++;
        addnstr(first, (int)(p - first));
        if (p < end && *p != '\n')
            attrset(l->attributes[*p++ - PAGE_MARK] | reverse);
    }
    return p < end ? p + 1 : end;
}

/* All lines but the last of the screen, which is for us. */
static void draw_page(struct live *l, int rows) {
    const char *p = buf_head(&l->page.text), *end = buf_tail(&l->page.text);
    for (int row = 0; row < rows && p && p < end; row++)
        p = draw_line(l, p, end, row, *p == '>' ? A_REVERSE : 0);
}

static const char *const help_lines[] = {
    "q        quit",
    "up down  select a request (or k, j)",
    "s        the stack of the selected request, or back; page up and down move in it",
    "o        order of requests: by time, CPU time or path",
    "p        pause, or go on",
    "blank    look now",
    "?        this help, or back",
    "",
    "TIME is since the call began, CPU the processor time that it has had.",
    "The line below a request is where it is in Python. A request that is",
    "\"waiting for the lock\" needs the interpreter lock, which another call has.",
};

static void put_help(struct live *l) {
    page_begin(&l->page, (unsigned)COLS, l->utf8);
    for (size_t i = 0; i < sizeof help_lines / sizeof *help_lines; i++) {
        page_print(&l->page, "%s", help_lines[i]);
        page_end_line(&l->page);
    }
}

/* The last line: what is wrong, or what the keys do. */
static void draw_bar(struct live *l) {
    struct page bar = {.width = 0};
    page_begin(&bar, (unsigned)COLS - 1, l->utf8);
    if (l->problem[0]) {
        page_style(&bar, PAGE_BAD);
        page_put(&bar, l->name);
        page_print(&bar, ": ");
        page_put(&bar, l->problem);
    } else
        page_print(&bar, "%sq quit  up/down select  s stack  o order  p pause  ? help", l->paused ? "PAUSED  " : "");
    page_to(&bar, bar.width);
    if (buf_len(&bar.text))
        draw_line(l, buf_head(&bar.text), buf_tail(&bar.text), LINES - 1, A_REVERSE);
    page_fini(&bar);
}

static void draw(struct live *l) {
    erase();
    if (LINES < LEAST_ROWS || COLS <= PAGE_LEAST) {
        mvaddnstr(0, 0, "too small", COLS - 1);
        refresh();
        return;
    }
    if (l->help)
        put_help(l);
    else {
        page_begin(&l->page, (unsigned)COLS, l->utf8);
        l->view.rows = (unsigned)LINES;
        view_put(&l->page, &l->view);
    }
    draw_page(l, LINES - 1);
    draw_bar(l);
    refresh();
}

/* Keys. */

static void scroll_by(struct live *l, int lines) {
    const json_t *sorted[VIEW_RUNNING_MOST];
    unsigned count = view_running(&l->view, sorted);
    int most = l->view.selected >= 0 && (unsigned)l->view.selected < count
                   ? (int)json_array_size(doc_at(sorted[l->view.selected], "stack")) - 1
                   : 0;
    int to = (int)l->view.scroll + lines;
    l->view.scroll = (unsigned)(to < 0 || most < 0 ? 0 : to > most ? most : to);
}

static void press(struct live *l, int key) {
    switch (key) {
    case 'q':
    case 'Q':
        l->quit = true;
        break;
    case 27: /* Esc */
        l->quit = !l->help && !l->view.stacks;
        l->help = l->view.stacks = false;
        break;
    case '?':
    case 'h':
        l->help = !l->help;
        break;
    case 's':
    case '\n':
    case KEY_ENTER:
        l->view.stacks = !l->view.stacks;
        l->view.scroll = 0;
        break;
    case 'o':
        l->view.order = (enum view_order)((l->view.order + 1) % VIEW_ORDERS);
        select_again(l);
        break;
    case 'p':
        l->paused = !l->paused;
        if (!l->paused)
            begin(l);
        break;
    case ' ':
        begin(l);
        break;
    case 'k':
    case KEY_UP:
        select_number(l, l->view.selected - 1);
        break;
    case 'j':
    case KEY_DOWN:
        select_number(l, l->view.selected + 1);
        break;
    case KEY_PPAGE:
        scroll_by(l, -LINES / 2);
        break;
    case KEY_NPAGE:
        scroll_by(l, LINES / 2);
        break;
    default: /* KEY_RESIZE too: it is drawn anew */
        break;
    }
}

static int sleep_ms(const struct live *l) {
    if (l->fetching)
        return fetch_left_ms(l->fetch);
    if (l->paused)
        return -1;
    uint64_t now = clock_ns();
    return l->next <= now ? 0 : (int)((l->next - now) / 1000000) + 1;
}

/* One wait, and what it has brought. */
static void turn(struct live *l) {
    struct pollfd p[2] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = l->fetching ? fetch_fd(l->fetch) : -1, .events = l->fetching ? fetch_events(l->fetch) : (short)0}};
    int ms = sleep_ms(l), key;
    struct timespec most = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    int ready = ppoll(p, 2, ms < 0 ? NULL : &most, &l->signals);
    if (ended || (ready > 0 && p[0].revents & (POLLHUP | POLLERR | POLLNVAL))) {
        l->quit = true;
        return;
    }
    while ((key = getch()) != ERR && !l->quit)
        press(l, key);
    if (l->fetching)
        settle(l, fetch_go_on(l->fetch));
    if (!l->fetching && !l->paused && clock_ns() >= l->next)
        begin(l);
}

/* Blocked, so that none comes between a look at what it has set and the wait; SIGWINCH is for curses. */
static void handle_signals(sigset_t *before) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = end_cb};
    sigset_t blocked;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGWINCH);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, before);
}

static int open_screen(struct live *l, SCREEN **screen) {
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "wsgi-fcgi-top: standard input and output have to be a terminal: use --once or --json\n");
        return EX_USAGE;
    }
    handle_signals(&l->signals);
    const char *type = getenv("TERM");
    *screen = type && *type ? newterm(NULL, stdout, stdin) : NULL;
    const char *moves = *screen ? tigetstr("cup") : NULL;
    if (!moves) {
        if (*screen) {
            endwin();
            delscreen(*screen);
        }
        fprintf(stderr, "wsgi-fcgi-top: this terminal cannot show it (TERM is \"%s\"): use --once\n", type ? type : "");
        return EX_UNAVAILABLE;
    }
    set_escdelay(25);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    (void)curs_set(0);
    choose_attributes(l->attributes);
    return EX_OK;
}

int live_run(struct fetch *f, const char *name, unsigned interval_ms, bool utf8) {
    struct live l = {.fetch = f, .name = name, .interval_ms = interval_ms, .utf8 = utf8, .view = {.selected = -1}};
    SCREEN *screen = NULL;
    int status = open_screen(&l, &screen);
    if (status)
        return status;
    l.next = clock_ns() + interval_ms * UINT64_C(1000000);
    take(&l);
    while (!l.quit) {
        draw(&l);
        turn(&l);
    }
    endwin();
    delscreen(screen);
    forget(&l.view.doc);
    forget(&l.view.before);
    page_fini(&l.page);
    return EX_OK;
}
