<?php
// The calls of deadline_app.py, but for that of the interpreter lock, which PHP does not have.
header('Content-Type: text/plain');
switch ($_SERVER['DOCUMENT_URI']) {
case '/sleep':
    for (;;)
        sleep(3600);
case '/loop':
    for (;;);
}
header('Content-Length: 13');
echo "Hello, world\n";
