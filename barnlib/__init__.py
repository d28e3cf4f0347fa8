"""barnlib: the code behind the study of language backbones in vision-language models."""
