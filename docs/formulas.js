// MathJax for pymdownx.arithmatex, also after a page is loaded without a reload
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
};
document$.subscribe(() => window.MathJax.typesetPromise?.());
