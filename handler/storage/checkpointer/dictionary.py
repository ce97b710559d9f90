"""What records of LangGraph's super-steps have in common: the dictionary that small bodies are compressed with.

Part of the storage format: it never changes. A better one gets a number of its own in `codec`.
"""

DICTIONARY_1 = b"".join(
    [
        b"\xa7user_id\xaacreated_by\xa6system\xa8graph_id\xacassistant_id\xa9thread_id\xa6run_id\xd9$",
        b"\xa6update\xa4fork\xa9interrupt\xad__interrupt__\xaa__resume__\xa9__error__\xa5value\xafinterrupt_id",
        b"\xbelangchain_core.messages.system\xadSystemMessage\x86\xa7content\xda\x04\x00\xa4type\xa6system",
        b"\xbelangchain_core.messages.modifier\xadRemoveMessage\xa4type\xa6remove",
        b"\xa7reasoning\xabcache_read\xb3input_token_details\xb4output_token_details\xa4text\xa4type\xa4text",
        b"\xaatoken_usage\xaaprompt_tokens\xb1completion_tokens\xb2system_fingerprint\xaemodel_provider\xa8logprobs",
        b"\xbdlangchain_core.messages.human\xacHumanMessage\x86\xa7content\xda\x04\x00",
        b"\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa5human\xa4name\xc0\xa2id\xc0",
        b"\xb3model_validate_json",
        b"\xa7source\xa5input\xa4step\xff\xa7parents\x80\xa1c\x81\xa9__start__\x93\x00\xa7msgpack\xc5\x04\x81\xa8messages",
        b"\x91\xc8\x04\x05\x94\xbclangchain_core.messages.tool\xabToolMessage\x89\xa7content\xda\x04\x00",
        b"\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa4tool\xa4name\xa2id\xd9$",
        b"\xactool_call_id\xd9$\xa8artifact\xc0\xa6status\xa7success\xa5error\xb3model_validate_json",
        b"\xafbranch:to:tools\x93\x00\xa4null\xc4\x00\xafbranch:to:agent\x91\x03\xb5~__pregel_pull, tools\xd9$",
        b"\xb9~__pregel_pull, __start__\xd9$\x00\xa8messages\xa7msgpack\xc5\x04",
        b"\xafbranch:to:\x93\x00\xa4null\xc4\x00\xa9__start__\x91\x03\xa1v\x92\x83\xa9__start__\xa8messages\xa1s\x92\x81",
        b"\x87\xa1p\xd9$1f1\xa1f\x83\xa1v\x04\xa2ts\xd9 2026-01-01T00:00:00.000000+00:00",
        b"\xb0updated_channels\x92\xafbranch:to:\xa8messages\xa1m\x92\xa7msgpack\xc4\x1c\x83\xa6source\xa4loop\xa4step",
        b"\xa7parents\x80\xa1c\x83\xa8messages\x93\x02\x91\xc5\x05\xc8\x05\x94\xbalangchain_core.messages.ai",
        b"\xa9AIMessage\x89\xa7content\xda\x04\x00\xb1additional_kwargs\x80\xb1response_metadata\x82",
        b"\xaamodel_name\xadfinish_reason\xa4stop\xa4type\xa2ai\xa4name\xc0\xa2id\xd9$lc_run--",
        b"\xaatool_calls\x91\x84\xa4name\xa4args\x81\xa5query\xa2id\xd9$call_\xa4type\xa9tool_call",
        b"\xb2invalid_tool_calls\x90\xaeusage_metadata\x83\xacinput_tokens\xcd\xadoutput_tokens\xcc\xactotal_tokens\xcd",
        b"\xb3model_validate_json\xafbranch:to:tools\x93\x00\xa4null\xc4\x00\xafbranch:to:agent\x91\x03",
        b"\xa1v\x92\x83\xa8messages\xafbranch:to:agent\xafbranch:to:tools\x90\xa1s\x92\x81\xa5agent\x81\xafbranch:to:agent",
        b"\x90\xa1w\x92\x96\xb5~__pregel_pull, agent\xd9$\x00\xa8messages\xa7msgpack\xc5\x05\x91\xc8\x05\x94",
        b"\x96\xb5~__pregel_pull, agent\xd9$\x01\xafbranch:to:tools\xa4null\xc4\x00",
    ]
)
