/* SPDX-License-Identifier: MIT */
/* Each command of the page gets a button that copies it. */
(function () {
  "use strict";

  function copy(code, button) {
    function said(word) {
      button.textContent = word;
      setTimeout(function () { button.textContent = "copy"; }, 1500);
    }
    function select() {
      window.getSelection().selectAllChildren(code);
      said("selected");
    }
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(code.textContent).then(function () { said("copied"); }, select);
    } else {
      select();
    }
  }

  Array.prototype.forEach.call(document.querySelectorAll(".repeat"), function (place) {
    var button = document.createElement("button"), code = place.querySelector("code");
    button.type = "button";
    button.textContent = "copy";
    button.title = "copies the command that repeats this";
    button.addEventListener("click", function () { copy(code, button); });
    place.appendChild(button);
  });
}());
