"""Renders the chat templates of models (FILE.jinja, as in llama.cpp's models/templates) over all message
shapes of jinja_goldens.py and prints what jinja2 makes of them, for text_templates_main:

    python3 tests/oracles/jinja_models.py FILE... >models.json
    build/release/tests/text_templates_main models.json
"""

import json
import pathlib
import sys
import warnings

from jinja_goldens import (ASSISTANT, CALL, JOKE, REQUESTS, RESULT, SYSTEM, TOKENS, USER, WEATHER, dump_list,
                           render)

WRITTEN_CALL = {**CALL, "function": {**CALL["function"], "arguments": json.dumps(CALL["function"]["arguments"])}}
NAKED_CALL = CALL["function"]
MORE = {
    "written_arguments": {"messages": [SYSTEM, USER, {"role": "assistant", "content": "", "tool_calls": [WRITTEN_CALL]},
                                       RESULT], "tools": [WEATHER]},
    "empty_call": {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, RESULT, ASSISTANT, JOKE],
                   "tools": [WEATHER]},
    "no_calls": {"messages": [USER, {"role": "assistant", "content": "Yes.", "tool_calls": []}, JOKE]},
    "null_calls": {"messages": [USER, {"role": "assistant", "content": "Yes.", "tool_calls": None}, JOKE], "tools": []},
    "naked_function": {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [NAKED_CALL]}],
                       "tools": [WEATHER["function"]]},
    "reasoned_call": {"messages": [USER, {"role": "assistant", "reasoning_content": "Look.", "content": "", "tool_calls": [CALL]},
                                   RESULT], "tools": [WEATHER]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER, ASSISTANT, JOKE]},
    "thinking": {"messages": [SYSTEM, USER], "extra": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}},
    "ends_with_assistant": {"messages": [SYSTEM, USER, ASSISTANT]},
}


def cases(path):
    source = pathlib.Path(path).read_text(encoding="utf-8")
    for name, request in (REQUESTS | MORE).items():
        for prompt in (True, False):
            variables = {**TOKENS, **request.get("extra", {}), "messages": request["messages"], "tools": request.get("tools"),
                         "documents": request.get("documents"), "add_generation_prompt": prompt}
            if variables["documents"] is None:  # as the program leaves out what a request has not
                del variables["documents"]
            yield {"name": f"{pathlib.Path(path).name} / {name} {prompt}: ", "source": source, "variables": variables,
                   **render(source, variables)}


def main():
    warnings.simplefilter("ignore")
    rows = [case for path in sys.argv[1:] for case in cases(path)]
    sys.stdout.write('{"variables": {},\n"snippets": ' + dump_list(rows) + "}\n")


if __name__ == "__main__":
    main()
