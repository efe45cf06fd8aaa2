/* The coordinator program. */
int main(void)
{
    return 0;
}
