// A person who opened a one-time link need not press its button. Programs that only look at the page,
// such as those that check links in mail, run no script and use nothing up.
document.querySelector("form[data-enter]")?.requestSubmit();
