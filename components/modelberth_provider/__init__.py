"""Our provider plugin, `pulumi-resource-modelberth`: what no other provider has.

It knows nothing of the components: its programs start in a fraction of a second, in every language.
"""
